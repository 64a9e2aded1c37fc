"""Plain text."""

from __future__ import annotations

from asrpack.runtime.timed_text import TimedText


def to_text(spoken: TimedText) -> str:
    """One line a segment."""
    return "".join(f"{' '.join(segment.text.split())}\n" for segment in spoken.segments)
