"""Hotwords: phrases whose units raise a hypothesis while they are matched.

An Aho-Corasick automaton over units, as in icefall's and WeNet's ``ContextGraph``
(icefall/context_graph.py, wenet/utils/context_graph.py). It differs in one thing: where a phrase
begins with another, the units of both count once, and a complete phrase is not counted a second
time until the next unit; theirs adds each phrase anew.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import UsageError

START = 0


class ContextGraph:
    """Where a hypothesis stands in the phrases, and what that earns it.

    A matched unit earns its phrase's boost at once (``pending``); a complete phrase keeps it
    (``award``); a match that breaks off gives it back.

    Args:
        phrases: units and boost, which is added to the log-probability per matched unit. Where
            phrases share a beginning, its units earn the larger boost.

    Attributes:
        award: per state, float64: what entering it earns for good.
        pending: per state, float64: what it earns as long as the hypothesis stays there.
        first, arc_units, arc_targets, fail: the automaton as int32 arrays. The arcs of state s
            are ``first[s]`` to ``first[s + 1]``, sorted by unit. :data:`START` is the start.

    Raises:
        UsageError: a phrase without units, or a boost that is not a finite number.
    """

    def __init__(self, phrases: Iterable[tuple[Sequence[int], float]]) -> None:
        arcs: list[dict[int, int]] = [{}]
        boosts, ends, parents = [0.0], [False], [START]
        for units, boost in phrases:
            if not units or not math.isfinite(boost):
                raise UsageError(
                    f"no hotword: {len(units)} units with a boost of {boost}",
                    code="hotword",
                    remedy="give each hotword at least one unit and a finite boost, such as 3.0",
                )
            state = START
            for unit in units:
                if (following := arcs[state].get(unit)) is None:
                    following = arcs[state][unit] = len(arcs)
                    arcs.append({})
                    boosts.append(boost)
                    ends.append(False)
                    parents.append(state)
                state = following
                boosts[state] = max(boosts[state], boost)
            ends[state] = True
        self._arcs = arcs
        self._link(boosts, ends, parents)

    def _link(self, boosts: list[float], ends: list[bool], parents: list[int]) -> None:
        count = len(self._arcs)
        matched = [0.0] * count  # boost of all units on the way to a state
        credited = [0.0] * count  # of those that the last phrase completed on the way has kept
        fail, award = [START] * count, [0.0] * count
        waiting = deque(self._arcs[START].values())
        while waiting:
            state = waiting.popleft()
            parent = parents[state]
            matched[state] = matched[parent] + boosts[state]
            credited[state] = matched[state] if ends[state] else credited[parent]
            for unit, following in self._arcs[state].items():
                fail[following] = self._step(fail, fail[state], unit)
                waiting.append(following)
            if ends[state]:
                award[state] = matched[state] - credited[parent]
            else:  # a phrase may end here that began later
                award[state] = award[fail[state]]
        self.award = np.array(award)
        self.pending = np.array(matched) - np.array(credited)
        self.fail = np.array(fail, np.int32)
        self.first = np.zeros(count + 1, np.int32)
        self.first[1:] = np.cumsum([len(arcs) for arcs in self._arcs])
        arcs = [arc for arcs in self._arcs for arc in sorted(arcs.items())]
        self.arc_units: NDArray[np.int32] = np.array([unit for unit, _ in arcs], np.int32)
        self.arc_targets: NDArray[np.int32] = np.array([state for _, state in arcs], np.int32)
        self._fail = fail

    def step(self, state: int, unit: int) -> int:
        """The state after one more unit."""
        return self._step(self._fail, state, unit)

    def _step(self, fail: Sequence[int], state: int, unit: int) -> int:
        while (following := self._arcs[state].get(unit)) is None:
            if state == START:
                return START
            state = fail[state]
        return following
