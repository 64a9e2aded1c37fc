"""Rescoring against its definition, with a decoder whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrpack.runtime.decoding import Nbest, attention_rescoring, bidirectional_rescoring

UNITS = 6
EOS = 5
HYPOTHESES = st.lists(
    st.tuples(
        st.lists(st.integers(1, 4), max_size=6).map(tuple),
        st.floats(-50, 0, allow_nan=False, width=32),
    ),
    min_size=1,
    max_size=10,
)


class Decoder:
    """Answers with fixed log-probabilities and keeps what it was asked."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.calls: list[list[tuple[int, ...]]] = []

    def __call__(self, hypotheses: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, list[Any]]:
        self.calls.append(list(hypotheses))
        ends = np.cumsum([len(units) + 1 for units in hypotheses])
        logits = np.random.default_rng(self.seed).standard_normal((ends[-1], UNITS))
        log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return log_probs.astype(np.float32), np.split(np.arange(ends[-1]), ends[:-1])

    def sums(self) -> list[float]:
        """Of each hypothesis of the first call, the log-probabilities of its units and the end."""
        hypotheses = self.calls[0]
        log_probs, places = self(hypotheses)
        return [
            sum(map(float, log_probs[place, [*units, EOS]]))
            for place, units in zip(places, hypotheses, strict=True)
        ]


def indifferent(hypotheses: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, list[Any]]:
    log_probs, places = Decoder()(hypotheses)
    return np.zeros_like(log_probs), places


def rescore(nbest: Nbest, decoder: Decoder, weight: float) -> Nbest:
    return attention_rescoring(nbest, decoder, ctc_weight=weight, eos_id=EOS)


@given(HYPOTHESES, st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_orders_by_the_sum(nbest: Nbest, seed: int, weight: float) -> None:
    decoder = Decoder(seed)
    rescored = rescore(nbest, decoder, weight)
    assert decoder.calls == [[units for units, _ in nbest]]
    sums = [
        score + weight * ctc_score
        for score, (_, ctc_score) in zip(decoder.sums(), nbest, strict=True)
    ]
    assert [score for _, score in rescored] == pytest.approx(sorted(sums, reverse=True), abs=1e-4)
    assert sorted(units for units, _ in rescored) == sorted(units for units, _ in nbest)
    assert rescored[0][0] in [nbest[i][0] for i, x in enumerate(sums) if x > max(sums) - 1e-4]


@given(HYPOTHESES, st.integers(0, 1000), st.sampled_from([0.3, 1.0]))
def test_the_right_decoder_reads_backwards(nbest: Nbest, seed: int, reverse_weight: float) -> None:
    left, right = Decoder(seed), Decoder(seed + 1)
    rescored = bidirectional_rescoring(
        nbest, left, right, ctc_weight=0.5, reverse_weight=reverse_weight, eos_id=EOS
    )
    assert right.calls == [[units[::-1] for units, _ in nbest]]
    sums = [
        (1 - reverse_weight) * one + reverse_weight * other + 0.5 * score
        for one, other, (_, score) in zip(left.sums(), right.sums(), nbest, strict=True)
    ]
    assert [score for _, score in rescored] == pytest.approx(sorted(sums, reverse=True), abs=1e-4)


def test_a_boost_counts_whole() -> None:
    nbest: Nbest = [((1,), -1.0), ((2,), -4.0)]
    options = {"eos_id": EOS, "ctc_weight": 0.5}
    rescored = attention_rescoring(nbest, indifferent, boosts=[0.0, 2.0], **options)
    assert rescored == [((2,), 0.0), ((1,), -0.5)]


def test_ctc_weight_decides_between_equals() -> None:
    nbest: Nbest = [((1,), -5.0), ((2,), -1.0)]
    options = {"eos_id": EOS}
    by_ctc = attention_rescoring(nbest, indifferent, ctc_weight=0.5, **options)
    assert by_ctc == [((2,), -0.5), ((1,), -2.5)]
    # Equals as they came.
    equal = attention_rescoring(nbest, indifferent, ctc_weight=0.0, **options)
    assert [units for units, _ in equal] == [(1,), (2,)]
