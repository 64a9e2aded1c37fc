"""CTC prefix beam search (``U2BaseModel._ctc_prefix_beam_search`` of PaddleSpeech).

Results equal PaddleSpeech's to the last bit, whole or chunk by chunk (``CTCPrefixBeamSearch`` of
its online server).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding.context_graph import ContextGraph
from asrpack.runtime.decoding.native_beam import NativeBeam, native_library
from asrpack.runtime.decoding.python_beam import PythonBeam

Nbest = list[tuple[tuple[int, ...], float]]


class PrefixBeamSearch:
    """The search of one stream: any number of chunks gives what the whole gives.

    It keeps every prefix that was ever in the beam, so start a new one after each endpoint.

    Args:
        beam_size: units looked at per frame, and prefixes kept.
        blank_id: the CTC blank.
        hotwords: phrases that raise the prefixes that hold them; they decide what stays in the
            beam and the order of the n-best, and leave the log-probabilities as they are.
        compiled: False to search in Python even where the compiled search loads.
    """

    def __init__(
        self,
        beam_size: int = 10,
        blank_id: int = 0,
        hotwords: ContextGraph | None = None,
        *,
        compiled: bool = True,
    ) -> None:
        if beam_size < 1:
            raise ValueError(f"beam_size is {beam_size}")
        library = native_library() if compiled else None
        self._hotwords = hotwords
        self._beam: NativeBeam | PythonBeam = (
            PythonBeam(beam_size, blank_id, hotwords)
            if library is None
            else NativeBeam(library, beam_size, blank_id, hotwords)
        )

    def advance(self, ctc_log_probs: NDArray[np.float32]) -> None:
        """Searches on.

        Args:
            ctc_log_probs: the next frames, shape (T, V), without padding.
        """
        if len(ctc_log_probs):
            self._beam.advance(np.asarray(ctc_log_probs, np.float32))

    def nbest(self) -> Nbest:
        """Units and log-probability, best first, at most ``beam_size``.

        Each is summed over its CTC paths within the beam. For no frames the empty prefix alone.
        With hotwords the order is that of log-probability plus boost.
        """
        return [(units, score) for units, score, _ in self._entries()]

    def boosts(self) -> list[float]:
        """What complete hotwords add to each of :meth:`nbest`."""
        return [boost for *_, boost in self._entries()]

    def best(self) -> tuple[int, ...]:
        """The units of the likeliest hypothesis so far."""
        if self._hotwords is None:
            return self._beam.entry(0)[0]
        return self._entries()[0][0]

    def _entries(self) -> list[tuple[tuple[int, ...], float, float]]:
        entries = [self._beam.entry(place) for place in range(len(self._beam))]
        if self._hotwords is not None:
            # The beam's order counts hotwords that were only begun.
            entries.sort(key=lambda entry: entry[1] + entry[2], reverse=True)
        return entries


def ctc_prefix_beam_search(
    ctc_log_probs: NDArray[np.float32],
    beam_size: int = 10,
    blank_id: int = 0,
    hotwords: ContextGraph | None = None,
) -> Nbest:
    """The n-best of a whole utterance; see :class:`PrefixBeamSearch`.

    Args:
        ctc_log_probs: shape (T, V), without padding frames.
    """
    search = PrefixBeamSearch(beam_size, blank_id, hotwords)
    search.advance(ctc_log_probs)
    return search.nbest()
