"""Sessions: threads, and no word to the network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asrpack.runtime import session
from asrpack.runtime.session import default_threads, open_session
from tests.runtime import tiny


def test_telemetry_is_off_before_onnxruntime_is_imported() -> None:
    script = (
        "import sys, builtins, os\n"
        "real = builtins.__import__\n"
        "def spy(name, *rest):\n"
        "    if name == 'onnxruntime':\n"
        "        assert os.environ.get('ORT_DISABLE_TELEMETRY') == '1'\n"
        "        print('seen')\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = spy\n"
        "import asrpack.runtime.recognizer\n"
    )
    clean = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("seen")


def test_session_options() -> None:
    options = open_session(tiny.encoder(), "encoder.onnx", 3).get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.use_deterministic_compute
    assert options.optimized_model_filepath == ""


def test_default_is_at_least_one_and_at_most_what_may_be_used() -> None:
    assert 1 <= default_threads() <= len(os.sched_getaffinity(0))


def test_hardware_threads_of_one_core_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(session, "_siblings", lambda cpu: f"{cpu % 2},{cpu % 2 + 2}")
    monkeypatch.setattr(session, "_cgroup_quota", lambda: 99)
    assert default_threads() == 2


@pytest.mark.parametrize(
    ("text", "cpus"), [("150000 100000\n", 2), ("100000 100000", 1), ("5000 100000", 1)]
)
def test_container_limit(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert session._cgroup_quota(tmp_path / "cpu.max") == cpus


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense"])
def test_no_container_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert session._cgroup_quota(tmp_path / "cpu.max") > 1000
    assert session._cgroup_quota(tmp_path / "none") > 1000
