"""CTC best path (``U2BaseModel.ctc_greedy_search`` of PaddleSpeech)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ctc_greedy_search(
    ctc_log_probs: NDArray[np.float32], blank_id: int = 0
) -> tuple[tuple[int, ...], float]:
    """The likeliest unit of each frame, repeats collapsed, blanks dropped.

    Args:
        ctc_log_probs: shape (T, V), without padding frames.
        blank_id: the CTC blank.

    Returns:
        The units, and the log-probability of the best path (not of the text: other paths give
        the same text). Empty and 0.0 for no frames.
    """
    if not len(ctc_log_probs):
        return (), 0.0
    path = ctc_log_probs.argmax(axis=1)
    score = float(ctc_log_probs.max(axis=1).sum(dtype=np.float64))
    starts = np.ones(len(path), bool)
    starts[1:] = path[1:] != path[:-1]
    units = path[starts & (path != blank_id)]
    return tuple(units.tolist()), score
