"""What machine a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Instruction sets that decide how fast int8 is.
INT8_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def cpu_flags() -> frozenset[str]:
    """Instruction set flags as Linux names them; empty elsewhere."""
    return frozenset(_cpuinfo("flags", "Features").split())


def cpu_model() -> str:
    """The CPU's name as Linux tells it; empty elsewhere, and on most ARM hosts."""
    return _cpuinfo("model name")


def _cpuinfo(*names: str) -> str:
    """The first CPU's value of the first of these lines that there is."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def describe_host() -> dict[str, Any]:
    """CPU, cores and versions, for a report."""
    return {
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "int8_features": [name for name in INT8_FEATURES if name in cpu_flags()],
        "onnxruntime": version("onnxruntime"),
        "numpy": version("numpy"),
    }
