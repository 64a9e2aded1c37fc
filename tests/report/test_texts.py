"""Which words of two texts differ."""

from __future__ import annotations

import pytest

from asrpack.report.texts import changed_texts, mark_differences
from asrpack.report.visible import visible
from tests.report.example import said


def marked(old: str, new: str) -> tuple[str, str]:
    one, other = (
        "".join(f"[{piece.text}]" if piece.differs else piece.text for piece in pieces)
        for pieces in mark_differences(old, new)
    )
    return one, other


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ten of clubs", "ten of club", ("ten of [clubs]", "ten of [club]")),
        ("ten of clubs", "ten clubs", ("ten [of] clubs", "ten clubs")),
        ("six", "", ("[six]", "")),
        ("", "six", ("", "[six]")),
        ("今天天汽很好", "今天天气很好", ("今天天[汽]很好", "今天天[气]很好")),
        ("打开wifi吧", "打开wi吧", ("打开[wifi]吧", "打开[wi]吧")),
    ],
)
def test_words_and_characters(old: str, new: str, expected: tuple[str, str]) -> None:
    assert marked(old, new) == expected


def test_nothing_of_a_text_is_lost() -> None:
    old, new = "  a  b\u3000c 今 d", "a b x 今天 "
    for text, pieces in zip((old, new), mark_differences(old, new), strict=True):
        assert "".join(piece.text for piece in pieces) == text


def test_the_broken_come_first_and_the_same_not_at_all() -> None:
    utterances = [
        said("a", "x", "a", "mended"),
        said("a", "x", "y", "changed"),
        said("a", "a", "a", "same"),
        said("a", "a", "x", "broken"),
    ]
    found = changed_texts(utterances, "attention_rescoring")
    assert [(item.utt, item.effect) for item in found] == [
        ("broken", "broken"),
        ("mended", "mended"),
        ("changed", "changed"),
    ]
    assert changed_texts(utterances, "ctc_greedy_search") == []


def test_what_cannot_be_seen_is_escaped() -> None:
    assert visible("a\x00\u202eb\ud800\u2028") == "a\\x00\\u202eb\\ud800\\u2028"
    kept = "1.5\N{NO-BREAK SPACE}% 今\u3000天 می\N{ZERO WIDTH NON-JOINER}خواهم <b>&"
    assert visible(kept) == kept
