"""What measurements are summed up to: percentiles, and how memory grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_SETTLED = 0.25
_PERCENTILES = (50, 90, 95, 99)
RANKS = (*(f"p{rank}" for rank in _PERCENTILES), "max")


def latency(seconds: Sequence[float]) -> dict[str, Any]:
    """``count`` and :data:`RANKS`; nothing but the count where there is none."""
    if not len(seconds):
        return {"count": 0}
    found = [*np.percentile(seconds, _PERCENTILES), max(seconds)]
    return {"count": len(seconds), **dict(zip(RANKS, map(float, found), strict=True))}


def slope(samples: Sequence[tuple[float, float]]) -> float | None:
    """Of memory over time, by least squares, once it has settled; None of fewer than three.

    In the first quarter of the time an arena is still written to for the first time.

    Args:
        samples: seconds and values, in order.
    """
    since = samples[0][0] + _SETTLED * (samples[-1][0] - samples[0][0])
    settled = np.array([sample for sample in samples if sample[0] >= since], float)
    if len(settled) < 3:
        return None
    return float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])


def thinned(samples: Sequence[Any], most: int) -> Sequence[Any]:
    """Every so manieth of them, about ``most``."""
    return samples[:: max(1, len(samples) // most)]
