"""Ctrl-C, as a terminal gives it to a process that a shell started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """In a process group of its own, where a signal interrupts it.

    A shell's background jobs ignore it, and all that they start.
    """
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


def interrupt(child: subprocess.Popen[str]) -> str:
    """Interrupts the process and all it started; the last line that it says."""
    os.killpg(child.pid, signal.SIGINT)
    _, told = child.communicate()
    assert child.returncode == 130, told
    assert "Traceback" not in told
    return told.splitlines()[-1]
