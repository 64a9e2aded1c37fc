"""Rescoring of CTC hypotheses (``U2BaseModel.attention_rescoring`` of PaddleSpeech)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding.ctc_prefix_beam import Nbest

# (hyps_in (N, L), hyps_lens (N,)) -> log-probabilities (N, L, V)
DecoderCall = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


def attention_rescoring(
    hypotheses: Nbest,
    decoder: DecoderCall,
    *,
    ctc_weight: float,
    sos_id: int,
    eos_id: int,
    blank_id: int = 0,
) -> tuple[tuple[int, ...], float]:
    """Picks the hypothesis with the best sum of decoder and weighted CTC score.

    Args:
        hypotheses: n-best of the prefix beam search, best first; at least one.
        decoder: scores all hypotheses in one call: token ids in with ``sos`` in front, padded
            with ``eos``, and their lengths with ``sos``.
        ctc_weight: factor of the CTC log-probability.

    Returns:
        The units and the combined score. The first of equals wins.
    """
    hyps_in, hyps_lens = decoder_input(
        [units for units, _ in hypotheses], sos_id=sos_id, eos_id=eos_id, blank_id=blank_id
    )
    log_probs = decoder(hyps_in, hyps_lens)
    scores = []
    for row, (units, ctc_score) in zip(log_probs, hypotheses, strict=True):
        picked = row[np.arange(len(units) + 1), [*units, eos_id]]
        # Left to right in single precision, as PaddleSpeech's sum is.
        left_to_right = picked.cumsum(dtype=np.float32)[-1]
        scores.append(float(left_to_right + np.float32(ctc_score * ctc_weight)))
    best = int(np.argmax(scores))
    return hypotheses[best][0], scores[best]


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
    hyps_in: NDArray[np.int64], hyps_lens: NDArray[np.int64], *, eos_id: int
) -> NDArray[np.int64]:
    """The same hypotheses for a right-to-left decoder (PaddleSpeech's ``st_reverse_pad_list``).

    Args:
        hyps_in: (N, L), as :func:`decoder_input` gives it.
        hyps_lens: (N,), ``sos`` counted.

    Returns:
        (N, L): ``sos``, the units in reverse, ``eos`` up to the longest.
    """
    turned = np.full_like(hyps_in, eos_id)
    turned[:, 0] = hyps_in[:, 0]
    for row, given, length in zip(turned, hyps_in, hyps_lens, strict=True):
        row[1:length] = given[1:length][::-1]
    return turned
