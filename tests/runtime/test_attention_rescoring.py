"""Rescoring against its definition, with a decoder whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.runtime.decoding import Nbest, attention_rescoring, bidirectional_rescoring
from asrpack.runtime.decoding.attention_rescoring import decoder_input, reversed_input

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
        self.calls: list[tuple[np.ndarray, np.ndarray]] = []

    def __call__(self, hyps_in: np.ndarray, hyps_lens: np.ndarray) -> np.ndarray:
        self.calls.append((hyps_in, hyps_lens))
        logits = np.random.default_rng(self.seed).standard_normal((*hyps_in.shape, UNITS))
        return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def rescore(nbest: Nbest, decoder: Decoder, weight: float) -> Nbest:
    return attention_rescoring(nbest, decoder, ctc_weight=weight, sos_id=EOS, eos_id=EOS)


def sum_of(log_probs: np.ndarray, units: tuple[int, ...]) -> float:
    return sum(float(log_probs[j, unit]) for j, unit in enumerate((*units, EOS)))


@given(HYPOTHESES, st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@settings(deadline=None)
def test_orders_by_the_sum(nbest: Nbest, seed: int, weight: float) -> None:
    decoder = Decoder(seed)
    rescored = rescore(nbest, decoder, weight)
    answers = decoder(*decoder.calls[0])
    sums = [
        sum_of(answers[i], hypothesis) + weight * ctc_score
        for i, (hypothesis, ctc_score) in enumerate(nbest)
    ]
    assert [score for _, score in rescored] == pytest.approx(sorted(sums, reverse=True), abs=1e-4)
    assert sorted(units for units, _ in rescored) == sorted(units for units, _ in nbest)
    assert rescored[0][0] in [nbest[i][0] for i, x in enumerate(sums) if x > max(sums) - 1e-4]


@given(HYPOTHESES, st.integers(0, 1000), st.sampled_from([0.3, 1.0]))
@settings(deadline=None)
def test_the_right_decoder_reads_backwards(nbest: Nbest, seed: int, reverse_weight: float) -> None:
    left, right = Decoder(seed), Decoder(seed + 1)

    def decoder(
        hyps_in: np.ndarray, hyps_lens: np.ndarray, r_hyps_in: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return left(hyps_in, hyps_lens), right(r_hyps_in, hyps_lens)

    rescored = bidirectional_rescoring(
        nbest, decoder, ctc_weight=0.5, reverse_weight=reverse_weight, sos_id=EOS, eos_id=EOS
    )
    hyps_in, hyps_lens = left.calls[0]
    answers, r_answers = left(hyps_in, hyps_lens), right(*right.calls[0])
    sums = [
        (1 - reverse_weight) * sum_of(answers[i], units)
        + reverse_weight * sum_of(r_answers[i], units[::-1])
        + 0.5 * score
        for i, (units, score) in enumerate(nbest)
    ]
    assert [score for _, score in rescored] == pytest.approx(sorted(sums, reverse=True), abs=1e-4)


def test_reversed_input() -> None:
    hyps = [(1, 2, 3), (4,), ()]
    hyps_in, hyps_lens = decoder_input(hyps, sos_id=7, eos_id=8, blank_id=0)
    found = reversed_input(hyps_in, hyps_lens, sos_id=7, eos_id=8)
    assert found.tolist() == [[7, 3, 2, 1], [7, 4, 8, 8], [7, 8, 8, 8]]
    assert found.dtype == np.int64


def test_a_boost_counts_whole() -> None:
    def indifferent(hyps_in: np.ndarray, hyps_lens: np.ndarray) -> np.ndarray:
        return np.zeros((*hyps_in.shape, UNITS), np.float32)

    nbest: Nbest = [((1,), -1.0), ((2,), -4.0)]
    options = {"sos_id": EOS, "eos_id": EOS, "ctc_weight": 0.5}
    rescored = attention_rescoring(nbest, indifferent, boosts=[0.0, 2.0], **options)
    assert rescored == [((2,), 0.0), ((1,), -0.5)]


def test_all_hypotheses_go_in_one_call() -> None:
    decoder = Decoder()
    rescore([((1, 2, 3), -1.0), ((1, 2), -2.0), ((), -3.0)], decoder, 0.5)
    ((hyps_in, hyps_lens),) = decoder.calls
    assert hyps_in.tolist() == [[5, 1, 2, 3], [5, 1, 2, 5], [5, 0, 5, 5]]
    assert hyps_lens.tolist() == [4, 3, 1]
    assert hyps_in.dtype == hyps_lens.dtype == np.int64


def test_nothing_but_empty_hypotheses_still_feed_a_blank() -> None:
    hyps_in, hyps_lens = decoder_input([()], sos_id=EOS, eos_id=EOS, blank_id=0)
    assert (hyps_in.tolist(), hyps_lens.tolist()) == ([[5, 0]], [1])


def test_ctc_weight_decides_between_equals() -> None:
    def indifferent(hyps_in: np.ndarray, hyps_lens: np.ndarray) -> np.ndarray:
        return np.zeros((*hyps_in.shape, UNITS), np.float32)

    nbest: Nbest = [((1,), -5.0), ((2,), -1.0)]
    options = {"sos_id": EOS, "eos_id": EOS}
    by_ctc = attention_rescoring(nbest, indifferent, ctc_weight=0.5, **options)
    assert by_ctc == [((2,), -0.5), ((1,), -2.5)]
    # Equals as they came.
    equal = attention_rescoring(nbest, indifferent, ctc_weight=0.0, **options)
    assert [units for units, _ in equal] == [(1,), (2,)]
