"""What is told on a terminal, or in a log."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, TextIO

from asrpack.errors import InputError

if TYPE_CHECKING:
    from asrpack.runtime.batch import Tally

OUTPUT = "standard output"
_REDRAW_SECONDS = 0.2


def say(text: str, *, error: bool = False) -> None:
    """Prints lines on standard output, or on standard error.

    Raises:
        OSError: standard output cannot be written; its ``filename`` is :data:`OUTPUT`.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        # File names need not be valid text, and not every terminal can show every script.
        shown = text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
        stream.write(f"{shown}\n")
        stream.flush()
    except OSError as cause:
        if not error:
            raise OSError(cause.errno, cause.strerror, OUTPUT) from None
        discard(stream)  # an error that nobody can be told


def discard(stream: TextIO) -> None:
    """What it holds goes nowhere: Python writes it once more when it ends, and would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Progress:
    """Errors as they come, and on a terminal a line of how far things are, below them.

    Args:
        line: whether to show the line where standard error is a terminal.
    """

    def __init__(self, *, line: bool) -> None:
        self._line = line and sys.stderr.isatty()
        self._began = time.monotonic()
        self._drawn = 0.0

    def tell(self, tally: Tally) -> None:
        """Draws the line anew, now and then."""
        now = time.monotonic()
        if not self._line or now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        settled = tally.done + tally.kept + len(tally.failed)
        parts = [f"{settled} of {tally.total}"]
        if tally.failed:
            parts.append(f"{len(tally.failed)} failed")
        if tally.done:
            parts.append(f"{tally.audio_seconds / (now - self._began):.1f} x real time")
            left = (tally.total - settled) * (now - self._began) / tally.done
            parts.append(f"{_clock(left)} left")
        sys.stderr.write(f"\r\x1b[K{', '.join(parts)}")
        sys.stderr.flush()

    def fail(self, error: InputError) -> None:
        """Tells why a recording has no transcript."""
        self.clear()
        say(f"asrpack: {error}", error=True)

    def clear(self) -> None:
        """Takes the line away."""
        if self._line and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def summary(tally: Tally) -> str:
    """One sentence on all recordings."""
    parts = [f"{tally.done} of {tally.total} transcribed ({_clock(tally.audio_seconds)} of audio)"]
    if tally.kept:
        parts.append(f"{tally.kept} there already")
    if tally.failed:
        names = ", ".join(str(error.place) for error in tally.failed)
        parts.append(f"{len(tally.failed)} failed: {names}")
    return "; ".join(parts)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
