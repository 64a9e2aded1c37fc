"""Words to subtitles that can be read.

Limits: Netflix, Timed Text Style Guide, General Requirements (two lines, 5/6 s to 7 s, two frames
between), English (42 characters a line, 20 a second) and Simplified Chinese (16 a line).
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from asrpack.runtime.timed_text import TimedSegment, TimedText, Word

# The width of a line, of a wide and of any other character: 16 or 42 of them fill it.
LINE = 336
_WIDE, _NARROW = LINE // 16, LINE // 42
# Milliseconds.
SHORTEST, LONGEST = 833, 7000
GAP = 84  # two frames at 24 a second
READING = 2100  # a line
# How long a subtitle may stay behind its last word for that.
LINGER = 500
# A pause that no subtitle goes on over.
PAUSE = 1000

_SENTENCE_ENDS = tuple(".?!…。？！")
_CLAUSE_ENDS = tuple(",;:，；：、")
# What it costs to end a subtitle that is not the last, beside the room it leaves empty.
_AFTER_SENTENCE, _AFTER_CLAUSE, _ELSEWHERE = 0.0, 0.4, 0.8
_EACH = 0.5


@dataclass(frozen=True)
class Cue:
    """One subtitle.

    Attributes:
        start, end: milliseconds; ``start < end``, and the next one starts no earlier than ``end``.
        lines: one or two. A single word may be longer than a line.
    """

    start: int
    end: int
    lines: tuple[str, ...]


def make_cues(spoken: TimedText) -> list[Cue]:
    """Subtitles of a recording, in order of time."""
    drafts = [draft for segment in spoken.segments for draft in _split(segment)]
    starts: list[int] = []
    for draft in drafts:
        starts.append(max(round(draft.start * 1000), starts[-1] + 1 if starts else 0))
    # The last may stay until the recording ends.
    following = [*starts[1:], max([round(spoken.duration * 1000), *starts[-1:]]) + GAP]
    return [
        Cue(start, _end(draft, start, limit), draft.lines())
        for draft, start, limit in zip(drafts, starts, following, strict=False)
    ]


def _end(draft: _Draft, start: int, following: int) -> int:
    spoken = round(draft.end * 1000)
    read = min(start + draft.width * READING // LINE, spoken + LINGER)
    wanted = max(spoken, read, start + SHORTEST)
    return min(wanted, following - GAP if following - GAP > start else following)


def _split(segment: TimedSegment) -> Iterator[_Draft]:
    words = segment.timed_words()
    if not words:
        return
    run = _Run(segment.text, words)
    pauses = (
        at
        for at, (one, next_) in enumerate(pairwise(words), 1)
        if (next_.start - one.end) * 1000 >= PAUSE
    )
    for first, end in pairwise([0, *pauses, len(words)]):
        yield from _cheapest(run, first, end)


class _Run:
    """The words of a segment, with what follows each up to the next: marks and blanks."""

    def __init__(self, text: str, words: Sequence[Word]) -> None:
        self.words = words
        starts, at = [], 0
        for word in words:
            starts.append(text.index(word.text, at))
            at = starts[-1] + len(word.text)
        pieces = [text[one:next_] for one, next_ in pairwise([*starts, len(text)])]
        self.texts = [" ".join(piece.split()) for piece in pieces]
        self.blanks = [" " if piece[-1:].isspace() else "" for piece in pieces]
        widths = [_width(text) for text in self.texts]
        spaced = [
            width + _NARROW * len(blank) for width, blank in zip(widths, self.blanks, strict=True)
        ]
        # Where each word begins and ends on a line of all.
        self._begins = list(accumulate(spaced, initial=0))
        self._ends = [begin + width for begin, width in zip(self._begins, widths, strict=False)]

    def width(self, first: int, end: int) -> int:
        """Of the words from ``first`` to before ``end``."""
        return self._ends[end - 1] - self._begins[first]

    def line_end(self, first: int, end: int) -> int:
        """Before which word a line ends that takes as many as it can, one at least."""
        at = bisect_right(self._ends, self._begins[first] + LINE, first, end)
        return max(at, first + 1)

    def text(self, first: int, end: int) -> str:
        """Likewise."""
        return "".join(
            text + blank
            for text, blank in zip(self.texts[first:end], self.blanks[first:end], strict=True)
        ).rstrip()


@dataclass(frozen=True)
class _Draft:
    """A subtitle's words, from ``first`` to before ``end_word``; times in seconds."""

    run: _Run
    first: int
    end_word: int

    @property
    def start(self) -> float:
        return self.run.words[self.first].start

    @property
    def end(self) -> float:
        return self.run.words[self.end_word - 1].end

    @property
    def width(self) -> int:
        return self.run.width(self.first, self.end_word)

    def fits(self) -> bool:
        """Whether it can be one subtitle; a word alone must."""
        if self.end_word - self.first == 1:
            return True
        if (self.end - self.start) * 1000 > LONGEST:
            return False
        at = self.run.line_end(self.first, self.end_word)
        return at == self.end_word or self.run.width(at, self.end_word) <= LINE

    def lines(self) -> tuple[str, ...]:
        """One line if it fits, else two of about one length, after punctuation if possible."""
        if self.width <= LINE or self.end_word - self.first == 1:
            return (self.run.text(self.first, self.end_word),)
        at = self._best_break()
        return self.run.text(self.first, at), self.run.text(at, self.end_word)

    def _best_break(self) -> int:
        return min(range(self.first + 1, self.end_word), key=self._unevenness)

    def _unevenness(self, at: int) -> tuple[bool, float]:
        longest = self._longest(at)
        return longest > LINE, longest / LINE + _break_cost(self.run.texts[at - 1]) / 4

    def _longest(self, at: int) -> int:
        return max(self.run.width(self.first, at), self.run.width(at, self.end_word))


def _cheapest(run: _Run, first: int, end: int) -> list[_Draft]:
    """The division that leaves the least room empty and breaks at the best places."""
    # The cheapest division of the words before each, and the subtitle that it ends with.
    costs: dict[int, float] = {first: 0.0}
    last: dict[int, _Draft] = {}
    for at in range(first + 1, end + 1):
        costs[at] = math.inf
        for begin in range(at - 1, first - 1, -1):
            draft = _Draft(run, begin, at)
            if not draft.fits():
                break
            empty = max(0.0, 1 - draft.width / (2 * LINE))
            cost = costs[begin] + _EACH + empty**2
            if at < end:
                cost += _break_cost(run.texts[at - 1])
            if cost < costs[at]:
                costs[at], last[at] = cost, draft
    drafts = []
    while end > first:
        drafts.append(last[end])
        end = last[end].first
    return drafts[::-1]


def _break_cost(before: str) -> float:
    if before.endswith(_SENTENCE_ENDS):
        return _AFTER_SENTENCE
    return _AFTER_CLAUSE if before.endswith(_CLAUSE_ENDS) else _ELSEWHERE


def _width(text: str) -> int:
    return sum(
        0
        if unicodedata.combining(character)
        else _WIDE
        if unicodedata.east_asian_width(character) in "WF"
        else _NARROW
        for character in text
    )
