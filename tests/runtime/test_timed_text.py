"""Words from units, of every kind of vocabulary."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from asrpack.runtime.decoding import UnitTime
from asrpack.runtime.recognizer import Recognised
from asrpack.runtime.search import Hypothesis
from asrpack.runtime.text import detokenize
from asrpack.runtime.timed_text import TimedSegment, join_segments, n_best, timed_segment
from tests.runtime import tiny


def segment(tokens: list[str], unit_type: str, *, start: float = 0.0) -> TimedSegment:
    """Of units that are spoken one a second."""
    about = tiny.describe(tokens=("<blank>", *tokens, "<eos>"), unit_type=unit_type)
    units = tuple(range(1, len(about.tokens)))
    text = detokenize(units, about.tokens, len(about.tokens) - 1, unit_type)
    times = [UnitTime(unit, unit - 1.0, unit, 1 / unit) for unit in units]
    found = timed_segment(
        Recognised(Hypothesis(text, units, -1.0, 1.0), times),
        about,
        start=start,
        end=start + len(units),
    )
    assert (found.text, found.tokens, found.score) == (text, units, -1.0)
    return found


@pytest.mark.parametrize(
    ("unit_type", "tokens", "words"),
    [
        ("char", ["a", "b", "<space>", "c"], [("ab", 0, 2), ("c", 3, 4)]),
        ("char", ["<space>", "a", "<space>", "<space>"], [("a", 1, 2)]),
        (
            "char",
            ["你", "好", "a", "b", "们"],
            [("你", 0, 1), ("好", 1, 2), ("ab", 2, 4), ("们", 4, 5)],
        ),
        (
            "char",
            ["𠮷", "カ", "々", "é", "x"],
            [("𠮷", 0, 1), ("カ", 1, 2), ("々", 2, 3), ("éx", 3, 5)],
        ),
        ("word", ["yes", "", "no"], [("yes", 0, 1), ("no", 2, 3)]),
        ("spm", ["▁he", "llo", "▁you"], [("hello", 0, 2), ("you", 2, 3)]),
        ("spm", ["▁caf", "<0xC3>", "<0xA9>", "▁", "x"], [("café", 0, 3), ("x", 3, 5)]),
        ("spm", ["▁你", "好", "▁ok"], [("你", 0, 1), ("好", 1, 2), ("ok", 2, 3)]),
        ("spm", ["▁a", "<unk>", "▁b"], [("a ⁇", 0, 2), ("b", 2, 3)]),
    ],
)
def test_words(unit_type: str, tokens: list[str], words: list[tuple[str, int, int]]) -> None:
    found = segment(tokens, unit_type, start=10.0)
    assert [(word.text, word.start - 10, word.end - 10) for word in found.words] == words
    assert [word.confidence for word in found.words] == [1 / end for _, _, end in words]


def test_words_share_the_time_where_none_is_known() -> None:
    found = TimedSegment("ab 你好 cdef", 1.0, 5.0)
    assert [(word.text, word.start, word.end) for word in found.timed_words()] == [
        ("ab", 1.0, 2.0),
        ("你", 2.0, 2.5),
        ("好", 2.5, 3.0),
        ("cdef", 3.0, 5.0),
    ]
    assert TimedSegment(" ", 1.0, 5.0).timed_words() == ()


def test_segments_without_text_are_left_out() -> None:
    about = tiny.describe()
    pieces = [TimedSegment("a", 0, 1), TimedSegment("", 1, 2), TimedSegment("b", 2, 3)]
    joined = join_segments(pieces, 3.0, about)
    assert (joined.text, len(joined.segments), joined.duration) == ("a b", 2, 3.0)


def scored(*found: tuple[str, float]) -> TimedSegment:
    """A segment and what else it may have been."""
    best, *others = (TimedSegment(text, 0, 1, score=score) for text, score in found)
    return replace(best, others=tuple(others))


def test_the_n_best_of_several_segments_are_the_likeliest_combinations() -> None:
    segments = [
        scored(("a", -1.0), ("b", -1.5), ("c", -4.0)),
        scored(("d", -2.0), ("", -2.25)),
        scored(("e", -0.5), ("f", -3.0), ("g", -9.0)),
    ]
    paths = product(*((item, *item.others) for item in segments))
    all_of_them = sorted(
        (
            (" ".join(item.text for item in path if item.text), sum(item.score for item in path))
            for path in paths
        ),
        key=lambda pair: -pair[1],
    )
    about = tiny.describe()
    for most in (1, 2, 5, 18, 100):
        found = n_best(segments, about, most)
        assert [(text.text, score) for text, score in found] == all_of_them[:most]


def test_the_best_stays_the_best_where_hotwords_put_it_first() -> None:
    segments = [scored(("hot", -3.0), ("hat", -1.0)), scored(("word", -1.0), ("ward", -2.0))]
    found = n_best(segments, tiny.describe(), 3)
    assert [text.text for text, _ in found] == ["hot word", "hat word", "hat ward"]


def test_the_n_best_of_nothing_is_an_empty_text() -> None:
    assert [(text.text, score) for text, score in n_best([], tiny.describe(), 3)] == [("", 0.0)]
