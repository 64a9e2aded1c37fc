"""Hotwords: phrases whose units raise a hypothesis while they are matched.

An Aho-Corasick automaton over units, as in icefall's and WeNet's ``ContextGraph``
(icefall/context_graph.py, wenet/utils/context_graph.py). It differs in one thing: where a phrase
begins with another, the units of both count once, and a complete phrase is not counted a second
time until the next unit; theirs adds each phrase anew.
"""

from __future__ import annotations

import math
from bisect import bisect_left
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
        states: dict[tuple[int, int], int] = {}  # by parent and unit
        boosts, ends = [0.0], [False]
        for units, boost in phrases:
            if not units or not math.isfinite(boost):
                raise UsageError(
                    f"no hotword: {len(units)} units with a boost of {boost}",
                    code="hotword",
                    remedy="give each hotword at least one unit and a finite boost, such as 3.0",
                )
            state = START
            for unit in units:
                state = states.setdefault((state, unit), len(boosts))
                if state == len(boosts):
                    boosts.append(boost)
                    ends.append(False)
                boosts[state] = max(boosts[state], boost)
            ends[state] = True
        arcs = np.array([(parent, unit) for parent, unit in states], np.int32).reshape(-1, 2)
        del states
        order = np.lexsort((arcs[:, 1], arcs[:, 0]))
        self.first = np.zeros(len(boosts) + 1, np.int32)
        self.first[1:] = np.cumsum(np.bincount(arcs[:, 0], minlength=len(boosts)))
        self.arc_units: NDArray[np.int32] = arcs[order, 1]
        self.arc_targets: NDArray[np.int32] = (order + 1).astype(np.int32)
        self.fail = np.zeros(len(boosts), np.int32)
        # Single numbers come faster out of these.
        self._first, self._units = self.first.data, self.arc_units.data
        self._targets, self._fail = self.arc_targets.data, self.fail.data
        self.award = np.zeros(len(boosts))
        self.pending = np.zeros(len(boosts))
        self._link(boosts, ends)

    def _link(self, boosts: list[float], ends: list[bool]) -> None:
        matched = [0.0] * len(boosts)  # boost of all units on the way to a state
        credited = [0.0] * len(boosts)  # of those that the last phrase completed there has kept
        waiting = deque([START])
        while waiting:
            state = waiting.popleft()
            for arc in range(self._first[state], self._first[state + 1]):
                following = self._targets[arc]
                if state != START:
                    self._fail[following] = self.step(self._fail[state], self._units[arc])
                matched[following] = matched[state] + boosts[following]
                if ends[following]:
                    credited[following] = matched[following]
                    self.award[following] = matched[following] - credited[state]
                else:  # a phrase may end here that began later
                    credited[following] = credited[state]
                    self.award[following] = self.award[self._fail[following]]
                waiting.append(following)
        self.pending[:] = np.array(matched) - np.array(credited)

    def step(self, state: int, unit: int) -> int:
        """The state after one more unit."""
        while True:
            end = self._first[state + 1]
            arc = bisect_left(self._units, unit, self._first[state], end)
            if arc < end and self._units[arc] == unit:
                return int(self._targets[arc])
            if state == START:
                return START
            state = self._fail[state]
