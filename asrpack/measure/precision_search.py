"""Which layers must stay fp32 so that the error stays within a budget: greedy, worst first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

# Up to so many layers are tried in int8 again, one by one, once the budget is met.
_REVISITED = 8

LayerId = tuple[str, str]  # graph, weight


@dataclass(frozen=True)
class Measured:
    """A configuration on the calibration set, next to fp32 in the same run.

    Attributes:
        bytes: of all graphs.
        size_ratio: of fp32's bytes.
        speedup: over fp32.
        error_rate: errors over the reference's length, in the search's metric.
        increase: over fp32's.
        increase_bound: upper end of its 95 % interval, by paired bootstrap.
        emptied: utterances without text that have one in fp32.
    """

    bytes: int
    size_ratio: float
    speedup: float
    error_rate: float
    increase: float
    increase_bound: float
    substitutions: int
    deletions: int
    insertions: int
    emptied: int

    def meets(self, max_increase: float) -> bool:
        """Whether it is within the budget, on other speech, too, as far as the set can tell.

        What is chosen for being just within a bound on one set would be beyond it on the next.
        """
        return self.increase_bound <= max_increase and not self.emptied


@dataclass(frozen=True)
class Candidate:
    """A configuration that was tried: ``kept`` are the layers in fp32."""

    kept: frozenset[LayerId]
    measured: Measured


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        chosen: the smallest that meets the budget; where none was found, the least wrong.
        stopped: ``met``; ``time`` ran out before; or ``exhausted``: not even fp32 meets it.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    stopped: Literal["met", "time", "exhausted"]


def search(
    ranked: Sequence[LayerId],
    forced: frozenset[LayerId],
    max_increase: float,
    measure: Callable[[frozenset[LayerId]], Measured],
    has_time: Callable[[], bool],
) -> Found:
    """Adds the worst layers back in fp32 until the budget is met, then takes back what it can.

    The number of layers doubles until the budget is met and is halved in after: about
    2 log2(layers) measurements, and one for each of the last few layers.

    Args:
        ranked: layers by what their rounding does, the worst first.
        forced: layers that stay fp32 whatever they do.
        max_increase: of the error rate over fp32's.
        measure: builds and measures a configuration, given its fp32 layers.
        has_time: whether another measurement fits.
    """
    order = [layer for layer in ranked if layer not in forced]
    tried: dict[frozenset[LayerId], Candidate] = {}
    in_time = True

    def meets(kept: frozenset[LayerId]) -> bool:
        nonlocal in_time
        if kept not in tried:
            if tried and not has_time():
                in_time = False
                return False
            tried[kept] = Candidate(kept, measure(kept))
        return tried[kept].measured.meets(max_increase)

    def worst(count: int) -> frozenset[LayerId]:
        return forced | frozenset(order[:count])

    # All counts up to `low` are known to fail, `high` is known to do or all there is.
    low, high = -1, 0
    while not meets(worst(high)) and in_time and high < len(order):
        low, high = high, min(len(order), max(1, 2 * high))
    while in_time and high - low > 1:
        middle = (low + high) // 2
        if meets(worst(middle)):
            high = middle
        elif in_time:
            low = middle
    kept = worst(high)
    if high <= _REVISITED:
        for layer in reversed(order[:high]):
            if in_time and meets(kept - {layer}):
                kept -= {layer}
    return _found(tried, max_increase, in_time)


def _found(tried: dict[frozenset[LayerId], Candidate], max_increase: float, in_time: bool) -> Found:
    good = [item for item in tried.values() if item.measured.meets(max_increase)]
    if good:
        chosen = min(good, key=lambda item: (item.measured.bytes, item.measured.increase))
    else:
        chosen = min(
            tried.values(),
            key=lambda item: (item.measured.emptied, item.measured.increase, item.measured.bytes),
        )
    stopped: Literal["met", "time", "exhausted"]
    stopped = "met" if good else "exhausted" if in_time else "time"
    return Found(chosen, tuple(tried.values()), stopped)
