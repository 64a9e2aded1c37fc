"""Rescoring of CTC hypotheses (``U2BaseModel.attention_rescoring`` of PaddleSpeech)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding.ctc_prefix_beam import Nbest

Scores = NDArray[np.float32]
# (hyps_in (N, L), hyps_lens (N,)) -> log-probabilities (N, L, V)
DecoderCall = Callable[[NDArray[np.int64], NDArray[np.int64]], Scores]
# (hyps_in (N, L), hyps_lens (N,), r_hyps_in (N, L)) -> log-probabilities left to right and right
# to left, (N, L, V) each
BidirectionalDecoderCall = Callable[
    [NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], tuple[Scores, Scores]
]


def attention_rescoring(
    hypotheses: Nbest,
    decoder: DecoderCall,
    *,
    ctc_weight: float,
    sos_id: int,
    eos_id: int,
    blank_id: int = 0,
    boosts: Sequence[float] | None = None,
) -> Nbest:
    """Orders hypotheses by the sum of decoder and weighted CTC score.

    Args:
        hypotheses: n-best of the prefix beam search; at least one.
        decoder: scores all hypotheses in one call: token ids in with ``sos`` in front, padded
            with ``eos``, and their lengths with ``sos``.
        ctc_weight: factor of the CTC log-probability.
        boosts: what hotwords add to each hypothesis (``PrefixBeamSearch.boosts``). Added whole,
            so that a boost weighs the same with and without rescoring; WeNet multiplies it by
            ``ctc_weight``.

    Returns:
        Units and combined score, best first, equals as they came.
    """
    hyps_in, hyps_lens = decoder_input(
        [units for units, _ in hypotheses], sos_id=sos_id, eos_id=eos_id, blank_id=blank_id
    )
    log_probs = decoder(hyps_in, hyps_lens)
    scores = _left_to_right(log_probs, hypotheses, eos_id)
    return _combined(hypotheses, scores, ctc_weight, boosts)


def bidirectional_rescoring(
    hypotheses: Nbest,
    decoder: BidirectionalDecoderCall,
    *,
    ctc_weight: float,
    reverse_weight: float,
    sos_id: int,
    eos_id: int,
    blank_id: int = 0,
    boosts: Sequence[float] | None = None,
) -> Nbest:
    """:func:`attention_rescoring` with a second decoder that reads from right to left (U2++).

    Args:
        decoder: takes what :func:`reversed_input` makes, too.
        reverse_weight: part of the right decoder in the decoders' score, above 0 and up to 1.
            For 0 the right decoder is not needed: :func:`attention_rescoring`.
    """
    hyps_in, hyps_lens = decoder_input(
        [units for units, _ in hypotheses], sos_id=sos_id, eos_id=eos_id, blank_id=blank_id
    )
    r_hyps_in = reversed_input(hyps_in, hyps_lens, sos_id=sos_id, eos_id=eos_id)
    log_probs, r_log_probs = decoder(hyps_in, hyps_lens, r_hyps_in)
    scores = _left_to_right(log_probs, hypotheses, eos_id) * (1 - reverse_weight)
    scores += _right_to_left(r_log_probs, hypotheses, eos_id) * reverse_weight
    return _combined(hypotheses, scores, ctc_weight, boosts)


def decoder_input(
    hypotheses: list[tuple[int, ...]], *, sos_id: int, eos_id: int, blank_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pads hypotheses for the decoder.

    Returns:
        ``hyps_in`` (N, L): ``sos``, the units, ``eos`` up to the longest; and ``hyps_lens`` (N,),
        which counts ``sos``. An empty hypothesis holds one blank that its length leaves out.
    """
    longest = max(len(units) or 1 for units in hypotheses)
    hyps_in = np.full((len(hypotheses), longest + 1), eos_id, np.int64)
    hyps_in[:, 0] = sos_id
    for row, units in zip(hyps_in, hypotheses, strict=True):
        content = units or (blank_id,)
        row[1 : len(content) + 1] = content
    lengths = np.array([len(units) + 1 for units in hypotheses], np.int64)
    return hyps_in, lengths


def reversed_input(
    hyps_in: NDArray[np.int64], hyps_lens: NDArray[np.int64], *, sos_id: int, eos_id: int
) -> NDArray[np.int64]:
    """Hypotheses for the right decoder (``st_reverse_pad_list`` of PaddleSpeech).

    Args:
        hyps_in, hyps_lens: what :func:`decoder_input` gave.

    Returns:
        (N, L): ``sos``, the units from last to first, ``eos`` up to the longest. Where all
        hypotheses are empty PaddleSpeech's is a column shorter, which moves no score.
    """
    reversed_in = np.full_like(hyps_in, eos_id)
    reversed_in[:, 0] = sos_id
    for row, source, length in zip(reversed_in, hyps_in, hyps_lens, strict=True):
        row[1:length] = source[1:length][::-1]
    return reversed_in


def _left_to_right(log_probs: Scores, hypotheses: Nbest, eos_id: int) -> Scores:
    scores = [
        _sum(row[np.arange(len(units) + 1), [*units, eos_id]])
        for row, (units, _) in zip(log_probs, hypotheses, strict=True)
    ]
    return np.array(scores, np.float32)


def _right_to_left(log_probs: Scores, hypotheses: Nbest, eos_id: int) -> Scores:
    """Summed from the first unit, which is the decoder's last, as upstream."""
    scores = [
        _sum(row[[*reversed(range(len(units))), len(units)], [*units, eos_id]])
        for row, (units, _) in zip(log_probs, hypotheses, strict=True)
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
