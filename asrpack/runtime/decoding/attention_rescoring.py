"""Rescoring of CTC hypotheses (``U2BaseModel.attention_rescoring`` of PaddleSpeech)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding.ctc_prefix_beam import Nbest

Scores = NDArray[np.float32]
# Hypotheses -> log-probabilities (R, V) of what follows each prefix of them, and of each hypothesis
# of n units where those of its prefixes are (n + 1,), from the empty one to all of it
DecoderCall = Callable[[Sequence[tuple[int, ...]]], tuple[Scores, Sequence[NDArray[np.int64]]]]


def attention_rescoring(
    hypotheses: Nbest,
    decoder: DecoderCall,
    *,
    ctc_weight: float,
    eos_id: int,
    boosts: Sequence[float] | None = None,
) -> Nbest:
    """Orders hypotheses by the sum of decoder and weighted CTC score.

    Args:
        hypotheses: n-best of the prefix beam search; at least one.
        decoder: scores all hypotheses in one call.
        ctc_weight: factor of the CTC log-probability.
        boosts: what hotwords add to each hypothesis (``PrefixBeamSearch.boosts``). Added whole,
            so that a boost weighs the same with and without rescoring; WeNet multiplies it by
            ``ctc_weight``.

    Returns:
        Units and combined score, best first, equals as they came.
    """
    scores = _left_to_right(hypotheses, decoder, eos_id)
    return _combined(hypotheses, scores, ctc_weight, boosts)


def bidirectional_rescoring(
    hypotheses: Nbest,
    left: DecoderCall,
    right: DecoderCall,
    *,
    ctc_weight: float,
    reverse_weight: float,
    eos_id: int,
    boosts: Sequence[float] | None = None,
) -> Nbest:
    """:func:`attention_rescoring` with a second decoder that reads from right to left (U2++).

    Args:
        left: the decoder.
        right: the other one; it is given every hypothesis from its end.
        reverse_weight: part of the right decoder in the decoders' score, above 0 and up to 1.
            For 0 the right decoder is not needed: :func:`attention_rescoring`.
    """
    scores = _left_to_right(hypotheses, left, eos_id) * (1 - reverse_weight)
    scores += _right_to_left(hypotheses, right, eos_id) * reverse_weight
    return _combined(hypotheses, scores, ctc_weight, boosts)


def _left_to_right(hypotheses: Nbest, decoder: DecoderCall, eos_id: int) -> Scores:
    log_probs, places = decoder([units for units, _ in hypotheses])
    scores = [
        _sum(log_probs[place, [*units, eos_id]])
        for place, (units, _) in zip(places, hypotheses, strict=True)
    ]
    return np.array(scores, np.float32)


def _right_to_left(hypotheses: Nbest, decoder: DecoderCall, eos_id: int) -> Scores:
    """Summed from the first unit, which is the decoder's last, as upstream."""
    log_probs, places = decoder([units[::-1] for units, _ in hypotheses])
    scores = [
        _sum(log_probs[[*place[-2::-1], place[-1]], [*units, eos_id]])
        for place, (units, _) in zip(places, hypotheses, strict=True)
    ]
    return np.array(scores, np.float32)


def _sum(values: Scores) -> np.float32:
    """One after the other in single precision, as upstream."""
    total: np.float32 = values.cumsum(dtype=np.float32)[-1]
    return total


def _combined(
    hypotheses: Nbest, scores: Scores, ctc_weight: float, boosts: Sequence[float] | None
) -> Nbest:
    ctc_scores = np.array([score * ctc_weight for _, score in hypotheses])
    total = scores + ctc_scores.astype(np.float32)
    if boosts is not None:
        total += np.array(boosts, np.float32)
    order = np.argsort(-total, kind="stable").tolist()
    return [(hypotheses[place][0], float(total[place])) for place in order]
