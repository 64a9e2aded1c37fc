"""An attention decoder's graph: scores of hypotheses, or of one step more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError
from asrpack.runtime.decoding.hypotheses import padded, prefix_tree
from asrpack.runtime.engines import Graph

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
OUTPUT, NEXT_CACHE, CACHE, ANCESTORS = "decoder_log_probs", "next_cache", "cache", "ancestors"
# Prefixes in one call: attention's scores of them, one with another, are 16 MB with four heads.
MOST_PREFIXES = 1024


class Decoder:
    """Runs one graph; calls from several threads at once are fine.

    Args:
        graph: one of asrpack's own (:class:`asrpack.networks.decoder.TransformerDecoder`):
            ``encoder_out`` (1, T', H), ``hyps_in`` (N, L) and ``ancestors`` (L, L) in,
            ``decoder_log_probs`` (N, M, V) out. Where it keeps what it worked out, ``cache``
            (blocks, N, C, H) in and ``next_cache`` (blocks, N, M, H) out, with M = L - C; without
            it, M = L. Or a foreign one: ``encoder_out`` (N, T', H), ``encoder_lens`` (N,),
            ``hyps_in`` (N, L) and ``hyps_lens`` (N,) in, ``decoder_log_probs`` (N, L, V) out.
        about: its units, and the longest that it takes.

    Raises:
        ToolchainError: the graph is of an earlier asrpack.
    """

    def __init__(self, graph: Graph, about: ModelDescription) -> None:
        self._graph, self._about = graph, about
        self._own = ANCESTORS in graph.inputs
        self._cache_shape = graph.inputs.get(CACHE)
        if self._cache_shape is not None and not self._own:
            raise ToolchainError(
                "the graph is of an earlier asrpack: it does not take trees of hypotheses",
                code="graph-interface",
                place="decoder",
                remedy="use the runtime inside the bundle, or build the bundle again with this "
                "version of asrpack",
            )
        longest = about.max_frames
        self._most = MOST_PREFIXES if longest is None else min(MOST_PREFIXES, longest + 1)

    def prefixes(
        self, encoder_out: Floats, hypotheses: Sequence[tuple[int, ...]]
    ) -> tuple[Floats, list[Integers]]:
        """What follows each prefix of hypotheses of one utterance.

        Args:
            encoder_out: shape (T', H).
            hypotheses: units, without the start of sentence.

        Returns:
            Log-probabilities (R, V), a row for each prefix; and of each hypothesis of n units
            where those of its prefixes are (n + 1,), from the empty one to all of it.
        """
        if not self._own:
            return self._side_by_side(encoder_out, hypotheses)
        tree = prefix_tree(hypotheses, self._about.sos)
        if len(tree.units) <= self._most or len(hypotheses) == 1:
            feed = self._feed(encoder_out, tree.units[None], tree.ancestors)
            return self._graph.run([OUTPUT], feed)[0][0], tree.places
        half = len(hypotheses) // 2
        first, places = self.prefixes(encoder_out, hypotheses[:half])
        second, more = self.prefixes(encoder_out, hypotheses[half:])
        return np.concatenate([first, second]), [*places, *(item + len(first) for item in more)]

    def step(
        self, encoder_out: Floats, hyps_in: Integers, cache: Floats | None
    ) -> tuple[Floats, Floats | None]:
        """Log-probabilities (N, V) of the unit after hypotheses of one length (N, L).

        Args:
            encoder_out: shape (T', H).
            hyps_in: with the start of sentence.
            cache: what the step before gave, for the first L - 1 units; None at the first.
        """
        count, length = hyps_in.shape
        if not self._own:
            lens = np.full(count, length, np.int64)
            return self._foreign(encoder_out, hyps_in, lens)[:, -1], None
        feed = self._feed(encoder_out, hyps_in, np.tri(length, dtype=np.int64), cache)
        log_probs, new = self._graph.run([OUTPUT, NEXT_CACHE], feed)
        return log_probs[:, -1], np.concatenate([feed[CACHE], new], axis=2)

    def _feed(
        self,
        encoder_out: Floats,
        hyps_in: Integers,
        ancestors: Integers,
        cache: Floats | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Of asrpack's own graph; no cache is an empty one, where there is one."""
        feed: dict[str, NDArray[Any]] = {
            "encoder_out": encoder_out[None],
            "hyps_in": hyps_in,
            ANCESTORS: ancestors,
        }
        if self._cache_shape is not None:
            blocks, _, _, size = self._cache_shape
            empty = np.zeros((blocks, len(hyps_in), 0, size), np.float32)
            feed[CACHE] = empty if cache is None else cache
        return feed

    def _side_by_side(
        self, encoder_out: Floats, hypotheses: Sequence[tuple[int, ...]]
    ) -> tuple[Floats, list[Integers]]:
        about = self._about
        hyps_in, lens = padded(hypotheses, about.sos, about.eos, about.blank_id)
        log_probs = self._foreign(encoder_out, hyps_in, lens)
        starts = range(0, hyps_in.size, hyps_in.shape[1])
        places = [start + np.arange(size) for start, size in zip(starts, lens, strict=True)]
        return log_probs.reshape(-1, log_probs.shape[-1]), places

    def _foreign(self, encoder_out: Floats, hyps_in: Integers, lens: Integers) -> Floats:
        count = len(hyps_in)
        feed: dict[str, NDArray[Any]] = {
            "encoder_out": np.broadcast_to(encoder_out, (count, *encoder_out.shape)),
            "encoder_lens": np.full(count, len(encoder_out), np.int64),
            "hyps_in": hyps_in,
            "hyps_lens": lens,
        }
        log_probs: Floats = self._graph.run([OUTPUT], feed)[0]
        return log_probs
