"""What was said and when: segments of words, made from a hypothesis and the times of its units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import groupby, product, takewhile

from asrpack.bundle.model import ModelDescription
from asrpack.runtime.decoding import UnitTime
from asrpack.runtime.recognizer import Recognised
from asrpack.runtime.text import BYTE, META_SPACE, SPACE, detokenize, join_texts

# Scripts that write no blanks, and whose characters are counted as words: Han, kana and the marks
# among them. No regular expression: to compile one of so many characters takes longer than what
# else is done here before a first text.
_UNSPACED = (
    *((0x3005, 0x3007), (0x3041, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)),
    *((0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)


@dataclass(frozen=True)
class Word:
    """One word, or one character of a script without blanks.

    Attributes:
        start, end: seconds.
        confidence: in [0, 1], the least of its units'; 0 where no times are known.
    """

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class TimedSegment:
    """A stretch of speech.

    Attributes:
        text: holds the words in their order.
        start, end: seconds.
        words: in order of time; empty where their times are not known.
        tokens: ids of the units.
        score: log-probability as the decoding method defines it.
        others: what else may have been said, the likeliest first.
    """

    text: str
    start: float
    end: float
    words: tuple[Word, ...] = ()
    tokens: tuple[int, ...] = ()
    score: float = 0.0
    others: tuple[TimedSegment, ...] = ()

    def timed_words(self) -> tuple[Word, ...]:
        """The words; where their times are not known, each gets its share of the segment."""
        return self.words or tuple(_spread(self.text, self.start, self.end))


@dataclass(frozen=True)
class TimedText:
    """A whole recording.

    Attributes:
        text: of all segments.
        duration: of the audio, in seconds.
        segments: in order of time, those without text left out.
    """

    text: str
    duration: float
    segments: tuple[TimedSegment, ...]

    @property
    def words(self) -> tuple[Word, ...]:
        """Of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)


def join_segments(
    segments: Sequence[TimedSegment], duration: float, about: ModelDescription
) -> TimedText:
    """One text of a recording's segments; ``duration`` in seconds."""
    spoken = tuple(segment for segment in segments if segment.text)
    text = join_texts([segment.text for segment in spoken], about.tokens, about.unit_type)
    return TimedText(text, duration, spoken)


def n_best(
    segments: Sequence[TimedSegment], about: ModelDescription, most: int
) -> list[tuple[TimedText, float]]:
    """What a recording may be, and the score of that, the best first; at most so many.

    Of several segments these are the combinations with the greatest sums of scores. The best is
    that of each segment also where hotwords put it before one of a greater score.
    """
    paths: list[tuple[float, tuple[TimedSegment, ...]]] = [(0.0, ())]
    for segment in segments:
        best, *others = product(paths, (segment, *segment.others))
        likeliest = nlargest(most - 1, others, key=lambda pair: pair[0][0] + pair[1].score)
        paths = [(score + item.score, (*path, item)) for (score, path), item in (best, *likeliest)]
    return [(join_segments(path, 0.0, about), score) for score, path in paths]


def timed_segment(
    found: Recognised, about: ModelDescription, *, start: float, end: float
) -> TimedSegment:
    """A segment of what was recognised in a stretch of audio.

    Args:
        found: times of units are from the beginning of the stretch; none where they are unknown.
        start, end: of the stretch, in seconds.
    """
    hypothesis, words = found.hypothesis, tuple(_words(found.units, about, start))
    more = tuple(timed_segment(item, about, start=start, end=end) for item in found.others)
    return TimedSegment(
        hypothesis.text, start, end, words, hypothesis.tokens, hypothesis.score, more
    )


def _words(times: Sequence[UnitTime], about: ModelDescription, offset: float) -> Iterator[Word]:
    group: list[UnitTime] = []
    for item in takewhile(lambda item: item.unit != about.eos, times):
        if group and _begins_word(
            about.tokens[item.unit], about.tokens[group[-1].unit], about.unit_type
        ):
            yield from _word(group, about, offset)
            group = []
        group.append(item)
    yield from _word(group, about, offset)


def _begins_word(unit: str, before: str, unit_type: str) -> bool:
    if unit_type == "word":
        return True
    if unit_type == "char" and SPACE in (unit, before):
        return True
    if BYTE.fullmatch(unit) and unit_type == "spm":
        return False  # bytes of one character may be spread over units
    return unit.startswith(META_SPACE) or _unspaced(unit[:1]) or _unspaced(before[-1:])


def _unspaced(character: str) -> bool:
    """Whether a character is a word by itself; an empty string is none."""
    return bool(character) and any(first <= ord(character) <= last for first, last in _UNSPACED)


def _word(group: Sequence[UnitTime], about: ModelDescription, offset: float) -> Iterator[Word]:
    units = [item.unit for item in group]
    text = detokenize(units, about.tokens, about.eos, about.unit_type).strip()
    if text:
        confidence = min(item.confidence for item in group)
        yield Word(text, offset + group[0].start, offset + group[-1].end, confidence)


def _spread(text: str, start: float, end: float) -> Iterator[Word]:
    """Words of equal time for equal length."""
    words = [word for run in text.split() for word in _divide(run)]
    total, done = sum(map(len, words)), 0
    for word in words:
        begin, done = done, done + len(word)
        share = (end - start) / total
        yield Word(word, start + share * begin, start + share * done, 0.0)


def _divide(run: str) -> Iterator[str]:
    """The words of a text without blanks."""
    for spaced, characters in groupby(run, key=lambda character: not _unspaced(character)):
        if spaced:
            yield "".join(characters)
        else:
            yield from characters
