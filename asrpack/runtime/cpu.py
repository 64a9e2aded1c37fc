"""What this machine's CPU can do, as far as it decides how integers are multiplied."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
# What ONNX Runtime's kernels with VNNI look for: either form, the first with its companions.
_VNNI = (
    frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}),
    frozenset({"avx2", "avx_vnni"}),
)


@cache
def cpu_flags(path: Path = _CPU_INFO) -> frozenset[str]:
    """Instruction set flags as Linux names them; empty elsewhere."""
    return frozenset(_line(path, "flags", "Features").split())


def cpu_model(path: Path = _CPU_INFO) -> str:
    """The CPU's name as Linux tells it; empty elsewhere, and on most ARM hosts."""
    return _line(path, "model name")


def _line(path: Path, *names: str) -> str:
    """The first CPU's value of the first of these lines that there is."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def has_vnni(flags: frozenset[str]) -> bool:
    """Whether sums of int8 products are exact: x86 adds them up in 16 bits without VNNI."""
    return any(needed <= flags for needed in _VNNI)
