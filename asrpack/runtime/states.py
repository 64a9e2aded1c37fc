"""What a streaming encoder carries from chunk to chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import Streaming

# The axis of growing states that counts encoder frames.
_TIME = 3
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class EncoderState:
    """The states of a batch of streams that are equally far.

    A history is as long as there is something to see. One of a fixed shape, with what is not
    there yet masked, is no faster: with 4 or 16 chunks of history both take the same time within
    the noise (0.96 to 1.03x), in a graph of fixed axes, too; with all of it a growing one is 1.2x
    faster on 20 s (12 blocks of 256; ``python -m benchmarks.streaming``).

    Attributes:
        arrays: by the name of the graph's input.
        offset: encoder output frames before the next chunk.
    """

    arrays: Arrays
    offset: int

    @classmethod
    def start(cls, streaming: Streaming, batch: int = 1) -> EncoderState:
        """Before the first chunk."""
        arrays = {
            state.name: np.zeros((state.shape[0], batch, *state.shape[2:]), np.float32)
            for state in streaming.states
        }
        return cls(arrays, 0)

    def feed(self, streaming: Streaming) -> dict[str, NDArray[Any]]:
        """What the graph is fed besides the features of a chunk.

        A graph with a growing state is also told how much of it is valid, ``cache_lens`` (B,),
        and where the chunk starts, ``offset`` (B,), both in encoder frames.
        """
        found: dict[str, NDArray[Any]] = dict(self.arrays)
        for state in streaming.states:
            if state.grows:
                array = self.arrays[state.name]
                found["offset"] = np.full(array.shape[1], self.offset, np.int64)
                found["cache_lens"] = np.full(array.shape[1], array.shape[_TIME], np.int64)
        return found

    def next(self, streaming: Streaming, outputs: Arrays, frames: int) -> EncoderState:
        """After a chunk that gave ``frames`` frames and these ``next_`` outputs."""
        kept = streaming.chunk_size * streaming.left_chunks
        arrays = {}
        for state in streaming.states:
            array = outputs[f"next_{state.name}"]
            if state.grows:
                array = np.concatenate([self.arrays[state.name], array], axis=_TIME)
                if streaming.left_chunks >= 0:
                    array = array[..., max(0, array.shape[_TIME] - kept) :, :]
            arrays[state.name] = array
        return EncoderState(arrays, self.offset + frames)
