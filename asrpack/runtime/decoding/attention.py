"""Beam search with the attention decoder alone (``U2BaseModel.recognize`` of PaddleSpeech)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding.attention_rescoring import Scores
from asrpack.runtime.decoding.ctc_prefix_beam import Nbest

# (hyps_in (N, L), cache) -> log-probabilities (N, V), cache
StepCall = Callable[[NDArray[np.int64], Scores | None], tuple[Scores, Scores | None]]


def attention_search(
    step: StepCall, max_length: int, *, beam_size: int = 10, sos_id: int, eos_id: int
) -> Nbest:
    """The likeliest unit sequences by the decoder, without length normalisation.

    PaddleSpeech does not reorder the decoder's cache when beams change places: from the second
    block on, a beam looks back at what another one was. So does this, or texts would differ. n
    units cost n calls of the decoder, where rescoring costs one: it is nearly always the better
    choice.

    Args:
        step: log-probabilities (N, V) of the next unit and the cache that goes with them, for
            ``beam_size`` hypotheses of one length and the cache of the call before.
        max_length: the most units, ``eos`` too: the number of encoder frames.
        beam_size: units looked at per beam, and beams kept.

    Returns:
        Units up to ``eos`` and score, best first. One that ran into ``max_length`` has no ``eos``
        in its score, and may repeat the units of one that ended: upstream joins none.
    """
    hyps = np.full((beam_size, 1), sos_id, np.int64)
    scores = np.full((beam_size, 1), -np.inf, np.float32)
    scores[0] = 0.0
    ended = np.zeros((beam_size, 1), bool)
    cache: Scores | None = None
    for _ in range(max_length):
        if ended.all():
            break
        log_probs, cache = step(hyps, cache)
        units, values = _top(log_probs, beam_size)
        # A beam that ended goes on as itself alone: one branch, eos, at no cost.
        values = np.where(ended, np.where(np.arange(values.shape[1]) > 0, -np.inf, 0), values)
        units = np.where(ended, eos_id, units)
        sums = (scores + values.astype(np.float32)).reshape(1, -1)
        best, scores = _top(sums, beam_size)
        scores = scores.reshape(-1, 1)
        beams = best[0] // units.shape[1]
        hyps = np.concatenate([hyps[beams], units.reshape(-1)[best[0], None]], axis=1)
        ended = hyps[:, -1:] == eos_id
    order = np.argsort(-scores[:, 0], kind="stable")
    return [(_until(hyps[beam, 1:].tolist(), eos_id), float(scores[beam, 0])) for beam in order]


def _top(scores: Scores, count: int) -> tuple[NDArray[np.int64], Scores]:
    """Places and values of the ``count`` largest per row, largest first; of equals the first."""
    places = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return places, np.take_along_axis(scores, places, axis=1)


def _until(units: list[int], eos_id: int) -> tuple[int, ...]:
    return tuple(units[: units.index(eos_id)] if eos_id in units else units)
