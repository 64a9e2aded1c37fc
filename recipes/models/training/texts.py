"""What is said in the recordings: digits and playing cards, as in the quickstart."""

from __future__ import annotations

import numpy as np

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
RANKS = ("ace", *DIGITS[2:], "jack", "queen", "king")
SUITS = ("clubs", "spades", "hearts", "diamonds")


def sentence(rng: np.random.Generator) -> str:
    """Digits (1-7 of them) in 45 of 100 cases, else cards (1-4), seldom without their suit."""
    if rng.random() < 0.45:
        words = (*DIGITS, "oh")
        return " ".join(rng.choice(words) for _ in range(rng.integers(1, 8)))
    return " ".join(card(rng) for _ in range(rng.integers(1, 5)))


def card(rng: np.random.Generator) -> str:
    """`four of clubs`, or `four` alone."""
    rank = str(rng.choice(RANKS))
    return f"{rank} of {rng.choice(SUITS)}" if rng.random() < 0.85 else rank
