"""What machine a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

from asrpack.runtime.cpu import cpu_flags, cpu_model
from asrpack.runtime.providers import installed_runtime

# Instruction sets that decide how fast int8 is.
INT8_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def describe_host() -> dict[str, Any]:
    """CPU, cores and versions, for a report."""
    return {
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "int8_features": [name for name in INT8_FEATURES if name in cpu_flags()],
        "onnxruntime": (installed_runtime() or ("", "unknown"))[1],
        "numpy": version("numpy"),
    }
