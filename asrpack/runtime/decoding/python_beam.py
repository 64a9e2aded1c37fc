"""The beam of a CTC prefix beam search, in Python: what runs where prefix_beam.c cannot.

Scores are Python floats added in PaddleSpeech's order, so they equal its own to the last bit.
Two things differ, and neither changes a result: prefixes are nodes of a tree instead of tuples,
and an extension that cannot reach the beam is not scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, inf, log

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding.context_graph import START, ContextGraph

# Far above the rounding of a sum of log-probabilities, far below any difference that matters.
_MARGIN = 1e-6
# A prefix in the beam: its node, log p of its paths that end in blank, of those that end in its
# last unit, and of both.
_Entry = tuple[int, float, float, float]


class PythonBeam:
    """The likeliest prefixes of what was searched so far."""

    def __init__(self, beam_size: int, blank_id: int, hotwords: ContextGraph | None) -> None:
        self._beam_size, self._blank_id = beam_size, blank_id
        self._tree = _PrefixTree(hotwords)
        self._beam: list[_Entry] = [(0, 0.0, -inf, 0.0)]

    def advance(self, ctc_log_probs: NDArray[np.float32]) -> None:
        """Searches on over shape (T, V)."""
        for units in _top_units(ctc_log_probs, self._beam_size):
            self._step(units)

    def __len__(self) -> int:
        return len(self._beam)

    def entry(self, place: int) -> tuple[tuple[int, ...], float, float]:
        """Units, log-probability and the boost of complete hotwords."""
        node, _, _, score = self._beam[place]
        return self._tree.prefix(node), score, self._tree.kept[node]

    def _step(self, units: list[tuple[int, float]]) -> None:
        """One frame: every prefix of the beam stays or is extended, the best are kept."""
        beam, tree = self._beam, self._tree
        least = self._least_score(units)
        in_beam = {entry[0] for entry in beam}
        known, last_units = tree.children, tree.units
        blank_ending: dict[int, float] = {}
        unit_ending: dict[int, float] = {}
        order: dict[int, None] = {}  # as first met: equal scores keep that order
        for unit, p in units:
            for node, pb, pnb, score in beam:
                if unit == self._blank_id:
                    order[node] = None
                    blank_ending[node] = _log_add(pb + p, pnb + p)
                    continue
                if unit == last_units[node]:
                    # A repeat is the same unit, unless a blank stood between.
                    order[node] = None
                    unit_ending[node] = _log_add(unit_ending.get(node, -inf), pnb + p)
                    pnb = -inf
                if score + p < least and known.get((node, unit)) not in in_beam:
                    continue
                child = tree.child(node, unit)
                order[child] = None
                if child in unit_ending:
                    unit_ending[child] = _log_add_three(unit_ending[child], pb + p, pnb + p)
                else:
                    unit_ending[child] = _log_add(pb + p, pnb + p)
        grown = []
        for node in order:
            pb, pnb = blank_ending.get(node, -inf), unit_ending.get(node, -inf)
            grown.append((node, pb, pnb, _log_add(pb, pnb)))
        grown.sort(key=_score if tree.hotwords is None else tree.rank, reverse=True)
        self._beam = grown[: self._beam_size]

    def _least_score(self, units: list[tuple[int, float]]) -> float:
        """A score that as many prefixes as the beam holds are sure to reach at this frame.

        Adding blank, or one unit that no prefix ends with, to every prefix gives that many
        different prefixes, none below the beam's last score plus that unit's. A hotword may lift
        any prefix over any other: with those, no score is too low.
        """
        if len(self._beam) < self._beam_size or self._tree.hotwords is not None:
            return -inf
        last_units = {self._tree.units[entry[0]] for entry in self._beam}
        for unit, p in units:
            if unit == self._blank_id or unit not in last_units:
                return self._beam[-1][3] + p - _MARGIN
        return -inf


class _PrefixTree:
    """Unit sequences as nodes; node 0 is the empty one."""

    def __init__(self, hotwords: ContextGraph | None) -> None:
        self.parents = [-1]
        self.units = [-1]
        self.children: dict[tuple[int, int], int] = {}
        self.hotwords = hotwords
        self.states = [START]
        self.kept = [0.0]

    def child(self, node: int, unit: int) -> int:
        known = self.children.get((node, unit))
        if known is None:
            known = self.children[node, unit] = len(self.units)
            self.parents.append(node)
            self.units.append(unit)
            kept = self.kept[node]
            if self.hotwords is not None:
                state = self.hotwords.step(self.states[node], unit)
                self.states.append(state)
                kept += float(self.hotwords.award[state])
            self.kept.append(kept)
        return known

    def prefix(self, node: int) -> tuple[int, ...]:
        backwards = []
        while node:
            backwards.append(self.units[node])
            node = self.parents[node]
        return tuple(reversed(backwards))

    def rank(self, entry: _Entry) -> float:
        """The score with the boost of complete and of begun hotwords."""
        node, score = entry[0], entry[3]
        assert self.hotwords is not None
        return score + (self.kept[node] + float(self.hotwords.pending[self.states[node]]))


def _score(entry: _Entry) -> float:
    return entry[3]


def _top_units(ctc_log_probs: NDArray[np.float32], count: int) -> Iterator[list[tuple[int, float]]]:
    """Per frame the ``count`` likeliest units with their log-probabilities, best first.

    Units of exactly equal probability are taken in the order of their ids; PaddleSpeech leaves
    that order open.
    """
    frames, vocabulary = ctc_log_probs.shape
    count = min(count, vocabulary)
    # A value that `count` blocks of units reach, `count` units reach: few are left to sort.
    width = max(1, vocabulary // (8 * count))
    peaks = np.maximum.reduceat(ctc_log_probs, np.arange(0, vocabulary, width), axis=1)
    bound = np.partition(peaks, -count, axis=1)[:, -count]
    rows, ids = np.nonzero(ctc_log_probs >= bound[:, None])
    values = ctc_log_probs[rows, ids]
    best_first = np.lexsort((ids, -values, rows))
    first = np.searchsorted(rows, np.arange(frames))
    picked = best_first[first[:, None] + np.arange(count)]
    ids, values = ids[picked], values[picked]
    for frame_ids, frame_values in zip(ids, values, strict=True):
        yield list(zip(frame_ids.tolist(), frame_values.tolist(), strict=True))


def _log_add(a: float, b: float) -> float:
    """log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    if b == -inf:
        return a
    return a + log(1.0 + exp(b - a))


def _log_add_three(a: float, b: float, c: float) -> float:
    """log(e^a + e^b + e^c), summed in that order."""
    top = max(a, b, c)
    if top == -inf:
        return -inf
    return top + log(exp(a - top) + exp(b - top) + exp(c - top))
