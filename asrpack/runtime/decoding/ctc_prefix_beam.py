"""CTC prefix beam search (``U2BaseModel._ctc_prefix_beam_search`` of PaddleSpeech).

Scores are Python floats added in PaddleSpeech's order, so they equal its own to the last bit.
Two things differ, and neither changes a result: prefixes are nodes of a tree instead of tuples,
and an extension that cannot reach the beam is not scored. Units of exactly equal probability
are taken in the order of their ids; PaddleSpeech leaves that order open.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, inf, log

import numpy as np
from numpy.typing import NDArray

Nbest = list[tuple[tuple[int, ...], float]]

# Far above the rounding of a sum of log-probabilities, far below any difference that matters.
_MARGIN = 1e-6
# A prefix in the beam: its node, log p of its paths that end in blank, of those that end in its
# last unit, and of both.
_Entry = tuple[int, float, float, float]


def ctc_prefix_beam_search(
    ctc_log_probs: NDArray[np.float32], beam_size: int = 10, blank_id: int = 0
) -> Nbest:
    """The likeliest unit sequences, each summed over its CTC paths within the beam.

    Args:
        ctc_log_probs: shape (T, V), without padding frames.
        beam_size: units looked at per frame, and prefixes kept.
        blank_id: the CTC blank.

    Returns:
        At most ``beam_size`` of (units, log-probability), best first. For no frames the empty
        prefix alone.
    """
    tree = _PrefixTree()
    beam: list[_Entry] = [(0, 0.0, -inf, 0.0)]
    for units in _top_units(ctc_log_probs, beam_size):
        beam = _step(tree, beam, units, beam_size, blank_id)
    return [(tree.prefix(node), score) for node, _, _, score in beam]


class _PrefixTree:
    """Unit sequences as nodes; node 0 is the empty one."""

    def __init__(self) -> None:
        self.parents = [-1]
        self.units = [-1]
        self.children: dict[tuple[int, int], int] = {}

    def child(self, node: int, unit: int) -> int:
        known = self.children.get((node, unit))
        if known is None:
            known = self.children[node, unit] = len(self.units)
            self.parents.append(node)
            self.units.append(unit)
        return known

    def prefix(self, node: int) -> tuple[int, ...]:
        backwards = []
        while node:
            backwards.append(self.units[node])
            node = self.parents[node]
        return tuple(reversed(backwards))


def _step(
    tree: _PrefixTree,
    beam: list[_Entry],
    units: list[tuple[int, float]],
    beam_size: int,
    blank_id: int,
) -> list[_Entry]:
    """One frame: every prefix of the beam stays or is extended, the best are kept."""
    least = _least_score(tree, beam, units, blank_id) if len(beam) == beam_size else -inf
    in_beam = {entry[0] for entry in beam}
    known, last_units = tree.children, tree.units
    blank_ending: dict[int, float] = {}
    unit_ending: dict[int, float] = {}
    order: dict[int, None] = {}  # as first met: equal scores keep that order
    for unit, p in units:
        for node, pb, pnb, score in beam:
            if unit == blank_id:
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
    grown.sort(key=_score, reverse=True)
    return grown[:beam_size]


def _score(entry: _Entry) -> float:
    return entry[3]


def _least_score(
    tree: _PrefixTree, beam: list[_Entry], units: list[tuple[int, float]], blank_id: int
) -> float:
    """A score that as many prefixes as the beam holds are sure to reach at this frame.

    Adding blank, or one unit that no prefix ends with, to every prefix gives that many different
    prefixes, none below the beam's last score plus that unit's.
    """
    last_units = {tree.units[entry[0]] for entry in beam}
    for unit, p in units:
        if unit == blank_id or unit not in last_units:
            return beam[-1][3] + p - _MARGIN
    return -inf


def _top_units(ctc_log_probs: NDArray[np.float32], count: int) -> Iterator[list[tuple[int, float]]]:
    """Per frame the ``count`` likeliest units with their log-probabilities, best first."""
    count = min(count, ctc_log_probs.shape[1])
    ids = np.argpartition(-ctc_log_probs, count - 1, axis=1)[:, :count]
    ids.sort(axis=1)
    values = np.take_along_axis(ctc_log_probs, ids, axis=1)
    best_first = np.argsort(-values, axis=1, kind="stable")
    ids = np.take_along_axis(ids, best_first, axis=1)
    values = np.take_along_axis(values, best_first, axis=1)
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
