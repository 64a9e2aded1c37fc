"""What measurements are summed up to: percentiles, and how memory grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 95, 99)


def latency(seconds: Sequence[float]) -> dict[str, Any]:
    """``count``, percentiles and ``max``; nothing but the count where there is none."""
    if not len(seconds):
        return {"count": 0}
    found = np.percentile(seconds, PERCENTILES)
    return {
        "count": len(seconds),
        **{f"p{rank}": float(value) for rank, value in zip(PERCENTILES, found, strict=True)},
        "max": float(max(seconds)),
    }


def slope(samples: Sequence[tuple[float, float]], since: float) -> float | None:
    """Of values over time, by least squares; None of fewer than three.

    Args:
        samples: seconds and values.
        since: seconds before which nothing counts.
    """
    settled = np.array([sample for sample in samples if sample[0] >= since], float)
    if len(settled) < 3:
        return None
    return float(np.polyfit(settled[:, 0], settled[:, 1], 1)[0])


def thinned(samples: Sequence[Any], most: int) -> Sequence[Any]:
    """Every so manieth of them, about ``most``."""
    return samples[:: max(1, len(samples) // most)]
