"""Attention search on decoders whose answers are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrpack.runtime.decoding import attention_search

UNITS, EOS = 5, 4


class Bigram:
    """A decoder that sees the last unit only; keeps the lengths it was asked."""

    def __init__(self, seed: int) -> None:
        logits = np.random.default_rng(seed).standard_normal((UNITS, UNITS)) * 2
        self.table = (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)
        self.lengths: list[int] = []

    def __call__(
        self, hyps_in: np.ndarray, cache: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Its cache is how long the hypotheses were."""
        assert (0 if cache is None else int(cache[0])) == hyps_in.shape[1] - 1
        self.lengths.append(hyps_in.shape[1])
        return self.table[hyps_in[:, -1]], np.array([hyps_in.shape[1]], np.float32)

    def score(self, units: tuple[int, ...]) -> float:
        return sum(float(self.table[a, b]) for a, b in itertools.pairwise((EOS, *units)))


@given(seed=st.integers(0, 10**6), max_length=st.integers(1, 5))
def test_a_beam_that_holds_everything_finds_the_best(seed: int, max_length: int) -> None:
    decoder = Bigram(seed)
    found = attention_search(decoder, max_length, beam_size=1500, sos_id=EOS, eos_id=EOS)
    every = [
        (*units, EOS)
        for length in range(max_length)
        for units in itertools.product(range(UNITS - 1), repeat=length)
    ] + list(itertools.product(range(UNITS - 1), repeat=max_length))
    best = max(every, key=decoder.score)
    assert found[0][1] == pytest.approx(decoder.score(best), abs=1e-4)
    assert decoder.score((*found[0][0], EOS)[:max_length]) == pytest.approx(found[0][1], abs=1e-4)


@given(seed=st.integers(0, 10**6), beam_size=st.integers(1, 10))
def test_scores_are_those_of_the_units(seed: int, beam_size: int) -> None:
    decoder = Bigram(seed)
    found = attention_search(decoder, 12, beam_size=beam_size, sos_id=EOS, eos_id=EOS)
    assert len(found) == beam_size
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    for units, score in found:
        if np.isfinite(score):
            assert EOS not in units
            assert decoder.score((*units, EOS)[:12]) == pytest.approx(score, abs=1e-4)


def test_ends_when_all_beams_do_and_at_the_most_units() -> None:
    decoder = Bigram(0)
    decoder.table[:] = np.log([1e-6, 1e-7, 1e-8, 1e-9, 1.0])
    assert attention_search(decoder, 50, beam_size=3, sos_id=EOS, eos_id=EOS)[0][0] == ()
    assert len(decoder.lengths) < 5  # the others end one unit later
    decoder = Bigram(0)
    decoder.table[:] = np.log([1.0, 1e-7, 1e-8, 1e-9, 1e-30])
    found = attention_search(decoder, 7, beam_size=3, sos_id=EOS, eos_id=EOS)
    assert found[0][0] == (0,) * 7
    assert decoder.lengths == [1, 2, 3, 4, 5, 6, 7]


def test_no_frames() -> None:
    assert attention_search(Bigram(0), 0, beam_size=2, sos_id=EOS, eos_id=EOS)[0] == ((), 0.0)
