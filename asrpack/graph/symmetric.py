"""int8 by output channel, as every int8 weight here is stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CODE_MAX = 127


def quantize_channels(
    weight: NDArray[np.float32], axis: int, limit: int = CODE_MAX
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes over [-limit, limit], and the steps, max|channel| / limit; 1 for a channel of zeros.

    Args:
        weight: of any rank.
        axis: of the output channels.

    Returns:
        Codes of the weight's shape; steps of its rank, 1 along every other axis.
    """
    others = tuple(place for place in range(weight.ndim) if place != axis)
    steps = (np.abs(weight).max(axis=others, keepdims=True) / limit).astype(np.float32)
    steps[steps == 0] = 1
    return np.rint(weight / steps).clip(-limit, limit).astype(np.int8), steps
