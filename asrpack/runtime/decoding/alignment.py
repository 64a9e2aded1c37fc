"""Where each unit is spoken, and how sure the network is of it.

The path is that of ``forced_align`` (paddlespeech/s2t/utils/ctc_utils.py), the times are made
from it as PaddleSpeech's online server makes them from its own (``rescoring`` in
paddlespeech/server/engine/asr/online/python/asr_engine.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class UnitTime:
    """One unit in the audio.

    Attributes:
        unit: its id.
        start, end: seconds.
        confidence: in [0, 1]: the largest posterior of the unit on its frames of the path. (CTC
            posteriors are peaked, Graves et al. 2006: beside the peak they are the blank's, so a
            mean over frames would measure the speed of speech.)
    """

    unit: int
    start: float
    end: float
    confidence: float


def ctc_align(
    ctc_log_probs: NDArray[np.float32], units: Sequence[int], blank_id: int = 0
) -> NDArray[np.int64] | None:
    """The likeliest CTC path that spells the units (Viterbi).

    Args:
        ctc_log_probs: shape (T, V).
        units: without blanks.
        blank_id: the CTC blank.

    Returns:
        Shape (T,): for each frame the place in ``units`` that it spells, or -1 for blank. None
        where there is no such path: fewer frames than the units and the blanks between equal
        neighbours need. PaddleSpeech gives some path then, and fails where there are no units.
    """
    states = np.full(2 * len(units) + 1, blank_id, np.int64)  # blank, unit, blank, …, blank
    states[1::2] = units
    emissions = ctc_log_probs[:, states]
    # A unit may follow another without a blank between, unless they are equal.
    may_skip = np.zeros(len(states), bool)
    may_skip[2:] = (states[2:] != blank_id) & (states[2:] != states[:-2])
    frames = len(emissions)
    if not frames:
        return None if len(units) else np.empty(0, np.int64)
    alpha = np.full(len(states), -np.inf, np.float32)
    alpha[:2] = emissions[0, :2]
    back = np.zeros((frames, len(states)), np.int8)  # how many states back the best came from
    candidates = np.full((3, len(states)), -np.inf, np.float32)
    for t in range(1, frames):
        candidates[0] = alpha
        candidates[1, 1:] = alpha[:-1]
        candidates[2, 2:] = np.where(may_skip[2:], alpha[:-2], -np.inf)
        back[t] = candidates.argmax(axis=0)  # of equals the one that stays
        alpha = candidates.max(axis=0) + emissions[t]
    if np.isneginf(alpha[-2:]).all():
        return None
    path = np.empty(frames, np.int64)
    state = len(states) - 1 - int(len(units) > 0 and alpha[-2] > alpha[-1])
    for t in range(frames - 1, -1, -1):
        path[t] = state
        state -= int(back[t, state])
    return np.where(path % 2 == 1, path // 2, -1)


def unit_times(
    ctc_log_probs: NDArray[np.float32],
    units: Sequence[int],
    *,
    frame_shift: float,
    offset: float = 0.0,
    duration: float | None = None,
    blank_id: int = 0,
) -> list[UnitTime]:
    """Start and end of each unit: the midpoints between the spikes of neighbours.

    A spike is the last frame of a unit's part of the path: upstream's search moves it on with
    every repeat. The first unit begins with the audio and the last ends with it.

    Args:
        ctc_log_probs: shape (T, V).
        units: a hypothesis, without blanks.
        frame_shift: seconds from one frame to the next.
        offset: seconds of audio before the first frame.
        duration: seconds of audio from there, where that is not T frames: nothing ends later.
        blank_id: the CTC blank.

    Returns:
        One per unit, in order. Where no path spells the units (attention decoding may find more
        than there are frames) they share the time evenly, and their confidence is 0.
    """
    if not units:
        return []
    frames, count = len(ctc_log_probs), len(units)
    path = ctc_align(ctc_log_probs, units, blank_id)
    if path is None:
        edges = np.linspace(0, frames, count + 1)
        confidences = np.zeros(count)
    else:
        spikes, confidences = _spikes(ctc_log_probs, units, path)
        edges = np.concatenate([[0], (spikes[1:] + spikes[:-1]) / 2, [frames]])
    edges = edges * frame_shift
    if duration is not None:
        edges = np.minimum(edges, duration)
    edges = (edges + offset).tolist()
    return [
        UnitTime(*item)
        for item in zip(units, edges[:-1], edges[1:], confidences.tolist(), strict=True)
    ]


def nbest_confidence(scores: Sequence[float]) -> list[float]:
    """How likely each hypothesis is among those found: the softmax of their log-probabilities.

    The N-best posterior of Rueber, "Obtaining confidence measures from sentence probabilities"
    (Eurospeech 1997). It tells hypotheses apart and knows nothing of those that were not found,
    so one hypothesis alone has 1.

    Args:
        scores: one decoding method's, of one utterance.

    Returns:
        In [0, 1], with the sum 1.
    """
    if not len(scores):
        return []
    values = np.exp(np.array(scores, np.float64) - max(scores))
    return list((values / values.sum()).tolist())


def _spikes(
    ctc_log_probs: NDArray[np.float32], units: Sequence[int], path: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Per unit the last frame of its part of the path, and its largest posterior there."""
    frames = np.flatnonzero(path >= 0)
    places = path[frames]
    starts = np.searchsorted(places, np.arange(len(units)))
    values = ctc_log_probs[frames, np.asarray(units)[places]]
    ends = np.append(starts[1:], len(places)) - 1
    peaks = np.maximum.reduceat(values, starts).astype(np.float64)
    return frames[ends], np.exp(peaks).clip(0, 1)
