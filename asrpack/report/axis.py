"""From values to px, with round numbers for ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

_TICKS = 5


@dataclass(frozen=True)
class Tick:
    """One line of an axis: at ``px``, meaning ``value``, written with ``digits``."""

    px: float
    value: float
    digits: int


class Axis:
    """Linear, from ``low`` at ``start`` px to ``high`` at ``end`` px.

    Attributes:
        ticks: about five.
    """

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._start = low, start
        self._scale = (end - start) / (high - low)
        step, digits = _round_step((high - low) / _TICKS)
        first, last = math.ceil(low / step), math.floor(high / step)
        self.ticks = tuple(Tick(self(n * step), n * step, digits) for n in range(first, last + 1))

    def __call__(self, value: float) -> float:
        return round(self._start + (value - self._low) * self._scale, 1)


def _round_step(rough: float) -> tuple[float, int]:
    """1, 2 or 5 times a power of ten, and how many decimals its multiples need."""
    power = math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10):
        if factor * 10.0**power >= rough:
            break
    exponent = power + (factor == 10)
    return factor * 10.0**power, max(0, -exponent)
