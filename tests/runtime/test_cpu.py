from __future__ import annotations

import pytest

from asrpack.runtime.cpu import cpu_flags, has_vnni

AVX512 = "avx2 avx512f avx512bw avx512dq avx512vl"


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("avx2 fma", False),
        (AVX512, False),
        (f"{AVX512} avx512_vnni", True),
        ("avx2 avx_vnni", True),
        ("avx512f avx512_vnni", False),  # a hypervisor that hides a part
        ("asimd i8mm", False),
        ("", False),
    ],
)
def test_vnni_counts_with_all_that_its_kernels_need(flags, found):
    assert has_vnni(frozenset(flags.split())) is found


def test_flags_are_read_as_linux_names_them(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\n")
    assert cpu_flags(info) == {"fpu", "avx2", "avx512_vnni"}
    assert cpu_flags(tmp_path / "missing") == frozenset()
