"""CTC searches of one stream, in the interface of the incremental ones: every chunk anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding import Nbest, ctc_greedy_search, ctc_prefix_beam_search


class _Frames:
    def __init__(self) -> None:
        self._chunks: list[NDArray[np.float32]] = []

    def advance(self, ctc_log_probs: NDArray[np.float32]) -> None:
        """Takes the next frames, shape (T, V)."""
        self._chunks.append(ctc_log_probs)

    def _frames(self) -> NDArray[np.float32]:
        return np.concatenate(self._chunks)


class GreedySearch(_Frames):
    """The best path."""

    def __init__(self, blank_id: int = 0) -> None:
        super().__init__()
        self._blank_id = blank_id

    def best(self) -> tuple[int, ...]:
        """The units so far."""
        return ctc_greedy_search(self._frames(), self._blank_id)[0]

    @property
    def score(self) -> float:
        """Log-probability of the best path."""
        return ctc_greedy_search(self._frames(), self._blank_id)[1]


class PrefixBeamSearch(_Frames):
    """The likeliest unit sequences."""

    def __init__(self, beam_size: int = 10, blank_id: int = 0) -> None:
        super().__init__()
        self._options = (beam_size, blank_id)

    def nbest(self) -> Nbest:
        """Units and log-probability, best first."""
        return ctc_prefix_beam_search(self._frames(), *self._options)
