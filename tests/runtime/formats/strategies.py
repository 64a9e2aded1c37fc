"""Recordings of any words and times, sensible or not."""

from __future__ import annotations

from hypothesis import strategies as st

from asrpack.runtime.timed_text import TimedSegment, TimedText, Word

_LETTERS = st.text("aéz'&<>-.,?!;%\u0301", min_size=1, max_size=12)
_CHARACTERS = st.text("你好我们去公园。，", min_size=1, max_size=1)
_TIMES = st.floats(0, 0.8) | st.floats(0, 12)


@st.composite
def segments(draw: st.DrawFn, begin: float) -> TimedSegment:
    """Words one after the other, with pauses or without, from some time on."""
    spaced = draw(st.booleans())
    texts = draw(st.lists(_LETTERS if spaced else _CHARACTERS, min_size=1, max_size=60))
    text = (" " if spaced else "").join(texts)
    if not draw(st.booleans()):
        return TimedSegment(text, begin, begin + draw(_TIMES), tokens=(1, 2), score=-3.0)
    words, at = [], begin
    for item in texts:
        start = at + draw(st.just(0.0) | st.floats(0, 3))
        at = start + draw(st.floats(0, 0.8))
        words.append(Word(item, start, at, draw(st.floats(0, 1))))
    return TimedSegment(text, begin, at, tuple(words))


@st.composite
def recordings(draw: st.DrawFn) -> TimedText:
    """Segments in order; each may begin before the one before it ends, as padded pieces do."""
    found: list[TimedSegment] = []
    for _ in range(draw(st.integers(0, 4))):
        begin = found[-1].end + draw(st.floats(-0.3, 5)) if found else draw(_TIMES)
        found.append(draw(segments(max(0.0, begin))))
    duration = max([segment.end for segment in found], default=0.0) + draw(_TIMES)
    return TimedText(" ".join(item.text for item in found), duration, tuple(found))
