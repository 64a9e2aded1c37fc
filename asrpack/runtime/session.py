"""ONNX Runtime sessions from bytes in memory. The only place that imports onnxruntime here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

# onnxruntime 1.30 and later report usage over the network unless told not to before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

from asrpack.errors import ToolchainError

# Key of a graph's metadata: no int8 weight of it has more than 7 bits.
SEVEN_BITS = "asrpack.seven_bits"


def open_session(
    model: bytes, name: str, threads: int = 0, *, outputs: Sequence[str] = ()
) -> onnxruntime.InferenceSession:
    """Loads a graph for the CPU. Nothing is written to disk.

    Args:
        model: the serialized ONNX graph.
        name: what messages call it, e.g. ``encoder.onnx``.
        threads: for one operator; 0 for :func:`default_threads`.
        outputs: names that the graph must give.

    Raises:
        ToolchainError: this onnxruntime cannot load it, or an output is missing.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    # Without VNNI the default kernel for int8 weights adds pairs of products in 16 bits and
    # saturates, but not with weights of 7 bits; this one is exact. With VNNI, and on ARM, it
    # changes nothing.
    if SEVEN_BITS.encode() not in model:
        options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no public base class
        raise ToolchainError(
            f"onnxruntime {onnxruntime.__version__} cannot load the graph: {_first_line(error)}",
            code="onnxruntime-load",
            place=name,
            remedy="install the versions that the bundle's requirements.txt names",
        ) from error
    given = [output.name for output in session.get_outputs()]
    if missing := [output for output in outputs if output not in given]:
        raise ToolchainError(
            f"the graph gives {', '.join(given)}, but not {', '.join(missing)}",
            code="graph-interface",
            place=name,
            remedy="build the bundle again with this version of asrpack",
        )
    return session


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def default_threads() -> int:
    """Physical cores that this process may use, and no more than its container is granted."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if allowed is None:
        return os.cpu_count() or 1
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _cgroup_quota()))


def _siblings(cpu: int) -> str:
    """The hardware threads of a CPU's core, as Linux lists them."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return path.read_text()
    except OSError:
        return str(cpu)


def _cgroup_quota(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPUs that a container's limit comes to, rounded up; many where there is no limit."""
    try:
        quota, period = path.read_text().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return 1 << 16
