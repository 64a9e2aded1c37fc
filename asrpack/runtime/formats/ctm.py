"""CTM: a word a line with its times, as NIST's sclite and Kaldi read it.

Format: https://github.com/usnistgov/SCTK, doc/infmts.htm.
"""

from __future__ import annotations

import re

from asrpack.runtime.timed_text import TimedText

_BLANKS = re.compile(r"\s+")
# Lines that start so are comments.
_COMMENT = ";;"


def to_ctm(spoken: TimedText, name: str, channel: str = "1") -> str:
    """``name channel start duration word confidence``, seconds to the millisecond.

    Args:
        name: of the recording; blanks in it become underscores.
    """
    name = _BLANKS.sub("_", name)
    if name.startswith(_COMMENT):
        name = f"_{name}"
    lines, last = [], 0
    for segment in spoken.segments:
        for word in segment.timed_words():
            # In order and without overlap, though segments may overlap.
            start = max(last, round(word.start * 1000))
            last = max(start, round(word.end * 1000))
            text = _BLANKS.sub("_", word.text)
            times = f"{start / 1000:.3f} {(last - start) / 1000:.3f}"
            lines.append(f"{name} {channel} {times} {text} {word.confidence:.4f}\n")
    return "".join(lines)
