"""How much memory this process has, on Linux."""

from __future__ import annotations

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


def _status(name: str) -> int:
    with Path("/proc/self/status").open(encoding="ascii") as lines:
        (line,) = (line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024
