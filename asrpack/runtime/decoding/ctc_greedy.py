"""CTC best path (``U2BaseModel.ctc_greedy_search`` of PaddleSpeech)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class GreedySearch:
    """The likeliest unit of each frame, repeats collapsed, blanks dropped, for one stream.

    Any number of chunks gives what the whole gives.

    Args:
        blank_id: the CTC blank.
    """

    def __init__(self, blank_id: int = 0) -> None:
        self._blank_id = blank_id
        self._last = blank_id  # of the path: a repeat across chunks is one unit
        self._units: list[int] = []
        self._score = 0.0

    def advance(self, ctc_log_probs: NDArray[np.float32]) -> None:
        """Searches on.

        Args:
            ctc_log_probs: the next frames, shape (T, V), without padding.
        """
        if not len(ctc_log_probs):
            return
        path = ctc_log_probs.argmax(axis=1)
        # One by one, so that chunks add up to the same last bit.
        for value in ctc_log_probs.max(axis=1).tolist():
            self._score += value
        starts = np.concatenate(([self._last], path[:-1])) != path
        self._units += path[starts & (path != self._blank_id)].tolist()
        self._last = int(path[-1])

    def best(self) -> tuple[int, ...]:
        """The units so far."""
        return tuple(self._units)

    @property
    def score(self) -> float:
        """Log-probability of the best path (not of the text: other paths give the same text)."""
        return self._score


def ctc_greedy_search(
    ctc_log_probs: NDArray[np.float32], blank_id: int = 0
) -> tuple[tuple[int, ...], float]:
    """Units and score of a whole utterance; see :class:`GreedySearch`.

    Args:
        ctc_log_probs: shape (T, V), without padding frames.
        blank_id: the CTC blank.

    Returns:
        Empty and 0.0 for no frames.
    """
    search = GreedySearch(blank_id)
    search.advance(ctc_log_probs)
    return search.best(), search.score
