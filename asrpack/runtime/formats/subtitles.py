"""SRT and WebVTT."""

from __future__ import annotations

from asrpack.runtime.formats.cues import make_cues
from asrpack.runtime.timed_text import TimedText

_VTT_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def to_srt(spoken: TimedText) -> str:
    """SubRip, for UTF-8 with LF line ends. It has no escapes, and an arrow would end the cue."""
    blocks = []
    for number, cue in enumerate(make_cues(spoken), 1):
        text = "\n".join(cue.lines).replace("-->", "→")
        blocks.append(f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(spoken: TimedText) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1/)."""
    blocks = ["WEBVTT\n"]
    for cue in make_cues(spoken):
        text = "\n".join(cue.lines).translate(_VTT_ESCAPES)
        blocks.append(f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def _time(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{rest:03}"
