"""Engines: what they are told, and no word to the network."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from asrpack.errors import ToolchainError
from asrpack.runtime.engines import graph_files
from asrpack.runtime.engines.onnxruntime import open_session
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
        "import asrpack.runtime.engines.onnxruntime\n"
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


def test_the_target_of_a_newer_asrpack() -> None:
    with pytest.raises(ToolchainError, match="no engine for the target 'coreml'") as caught:
        graph_files("coreml", ["encoder"])
    assert caught.value.code == "target-unknown"
