"""Rescoring against its definition, with a decoder whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.runtime.decoding import Nbest, attention_rescoring
from asrpack.runtime.decoding.attention_rescoring import decoder_input, reversed_input

UNITS = 6
EOS = 5
SOS = 6
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


def rescore(nbest: Nbest, decoder: Decoder, weight: float) -> tuple[tuple[int, ...], float]:
    return attention_rescoring(nbest, decoder, ctc_weight=weight, sos_id=EOS, eos_id=EOS)


@given(HYPOTHESES, st.integers(0, 1000), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
@settings(deadline=None)
def test_picks_the_best_sum(nbest: Nbest, seed: int, weight: float) -> None:
    decoder = Decoder(seed)
    units, score = rescore(nbest, decoder, weight)
    answers = decoder(*decoder.calls[0])
    sums = [
        sum(float(answers[i, j, unit]) for j, unit in enumerate((*hypothesis, EOS)))
        + weight * ctc_score
        for i, (hypothesis, ctc_score) in enumerate(nbest)
    ]
    assert score == pytest.approx(max(sums), abs=1e-4)
    assert units in [nbest[i][0] for i, value in enumerate(sums) if value > max(sums) - 1e-4]


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


def test_hypotheses_from_their_ends() -> None:
    hypotheses = [(1, 2, 3), (4, 2), ()]
    hyps_in, hyps_lens = decoder_input(hypotheses, sos_id=SOS, eos_id=EOS, blank_id=0)
    turned = reversed_input(hyps_in, hyps_lens, eos_id=EOS)
    # As PaddleSpeech's st_reverse_pad_list has it: an empty one has lost its blank.
    assert turned.tolist() == [[6, 3, 2, 1], [6, 2, 4, 5], [6, 5, 5, 5]]
    assert turned.dtype == np.int64


def test_ctc_weight_decides_between_equals() -> None:
    def indifferent(hyps_in: np.ndarray, hyps_lens: np.ndarray) -> np.ndarray:
        return np.zeros((*hyps_in.shape, UNITS), np.float32)

    nbest: Nbest = [((1,), -5.0), ((2,), -1.0)]
    options = {"sos_id": EOS, "eos_id": EOS}
    assert attention_rescoring(nbest, indifferent, ctc_weight=0.5, **options) == ((2,), -0.5)
    # The first of equals.
    assert attention_rescoring(nbest, indifferent, ctc_weight=0.0, **options)[0] == (1,)
