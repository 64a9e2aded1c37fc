"""Units to text."""

from __future__ import annotations

import pytest

from asrpack.runtime.text import detokenize

TOKENS = ["<blank>", "<unk>", "a", "b", "<space>", "字", "<eos>"]


@pytest.mark.parametrize(
    ("units", "text"),
    [
        ((), ""),
        ((2, 4, 3), "a b"),
        ((5, 5), "字字"),
        ((2, 6, 3), "a"),
        ((6,), ""),
        ((4, 2, 4), " a "),
        ((2, 1, 3), "a<unk>b"),
    ],
)
def test_detokenize(units: tuple[int, ...], text: str) -> None:
    assert detokenize(units, TOKENS, eos_id=6) == text
