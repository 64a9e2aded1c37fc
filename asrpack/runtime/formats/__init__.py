"""What was said in a recording, in the formats that other programs read."""

from __future__ import annotations

from asrpack.runtime.formats.ctm import to_ctm
from asrpack.runtime.formats.json_shapes import (
    from_json,
    segment_json,
    to_json,
    to_verbose_json,
)
from asrpack.runtime.formats.subtitles import to_srt, to_vtt
from asrpack.runtime.formats.text import to_text

__all__ = [
    "from_json",
    "segment_json",
    "to_ctm",
    "to_json",
    "to_srt",
    "to_text",
    "to_verbose_json",
    "to_vtt",
]
