"""An attention decoder's graph: scores of whole hypotheses, or of one step more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.engines import Graph

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
OUTPUT, NEXT_CACHE, CACHE = "decoder_log_probs", "next_cache", "cache"


class Decoder:
    """Runs one graph; calls from several threads at once are fine.

    Args:
        graph: ``encoder_out`` (N, T', H), ``encoder_lens`` (N,), ``hyps_in`` (N, L) and
            ``hyps_lens`` (N,) in, ``decoder_log_probs`` (N, M, V) out. Where it keeps what it
            worked out, ``cache`` (blocks, N, C, H) in and ``next_cache`` (blocks, N, M, H) out,
            with M = L - C; without it, M = L.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._cache_shape = graph.inputs.get(CACHE)

    def whole(self, encoder_out: Floats, hyps_in: Integers, hyps_lens: Integers) -> Floats:
        """Log-probabilities (N, L, V) of the unit after each prefix, for one utterance.

        Args:
            encoder_out: shape (T', H).
            hyps_in: (N, L), the start of sentence first, padded.
            hyps_lens: (N,), with the start of sentence.
        """
        feed = self._feed(encoder_out, hyps_in, hyps_lens)
        if self._cache_shape is not None:
            feed[CACHE] = self._empty_cache(len(hyps_in))
        log_probs: Floats = self._graph.run([OUTPUT], feed)[0]
        return log_probs

    def step(
        self, encoder_out: Floats, hyps_in: Integers, cache: Floats | None
    ) -> tuple[Floats, Floats | None]:
        """Log-probabilities (N, V) of the unit after hypotheses of one length (N, L).

        Args:
            cache: what the step before gave, for the first L - 1 units; None at the first.
        """
        lens = np.full(len(hyps_in), hyps_in.shape[1], np.int64)
        if self._cache_shape is None:  # a foreign graph: all positions again
            return self.whole(encoder_out, hyps_in, lens)[:, -1], None
        before = self._empty_cache(len(hyps_in)) if cache is None else cache
        feed = {**self._feed(encoder_out, hyps_in, lens), CACHE: before}
        log_probs, new = self._graph.run([OUTPUT, NEXT_CACHE], feed)
        return log_probs[:, -1], np.concatenate([before, new], axis=2)

    def _empty_cache(self, count: int) -> Floats:
        assert self._cache_shape is not None
        blocks, _, _, size = self._cache_shape
        return np.zeros((blocks, count, 0, size), np.float32)

    @staticmethod
    def _feed(encoder_out: Floats, hyps_in: Integers, hyps_lens: Integers) -> dict[str, Any]:
        count = len(hyps_in)
        return {
            "encoder_out": np.broadcast_to(encoder_out, (count, *encoder_out.shape)),
            "encoder_lens": np.full(count, len(encoder_out), np.int64),
            "hyps_in": hyps_in,
            "hyps_lens": hyps_lens,
        }
