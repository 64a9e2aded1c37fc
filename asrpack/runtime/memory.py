"""How much memory this process has, on Linux, and giving back what it does not need."""

from __future__ import annotations

import ctypes
from pathlib import Path


def resident_bytes() -> int:
    """Now."""
    return _status("VmRSS:")


def peak_bytes() -> int:
    """At most, since the process began or :func:`forget_peak`.

    Not getrusage's figure: that one counts what the parent had before exec, too.
    """
    return _status("VmHWM:")


def forget_peak() -> None:
    """Begins the high-water mark anew from what is resident now (proc(5), clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # a sandbox's kernel without it: the peak is that of the whole process then
        pass


def release_freed() -> None:
    """Gives the system back what was freed, which the C library keeps; for glibc's only.

    What a graph is parsed from would otherwise stay beside it: up to half the weights once more.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(name: str) -> int:
    with Path("/proc/self/status").open(encoding="ascii") as lines:
        (line,) = (line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024
