"""Where somebody speaks: Silero VAD (MIT, see LICENSE), its graph for many windows at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.audio import FULL_SCALE, resampler
from asrpack.runtime.engines import Graph, open_graph

WINDOW_SECONDS = 0.032
# Of the package silero-vad that the graph is from, there silero_vad_16k_sequence.onnx.
SILERO_VERSION = "6.2.3"
_RATE = 16_000
_WINDOW, _CONTEXT, _STATE = 512, 64, (1, 1, 128)

Floats = NDArray[np.float32]


class SpeechDetector:
    """Gives the probability of speech, window by window, as a recording arrives.

    The probabilities are those of the whole recording at once, whatever the pieces.

    Args:
        sample_rate: of the recording, in Hz.

    Raises:
        ToolchainError: ONNX Runtime is not installed.
    """

    def __init__(self, sample_rate: int) -> None:
        self._graph = _graph()
        self._resampler = None if sample_rate == _RATE else resampler(sample_rate, _RATE)
        self._samples = np.zeros(0, np.float32)  # not yet of a window
        self._context = np.zeros(_CONTEXT, np.float32)
        self._h = self._c = np.zeros(_STATE, np.float32)

    def accept(self, samples: Floats, *, last: bool = False) -> Floats:
        """Takes the next samples.

        Args:
            samples: shape (n,), any n, on the int16 scale.
            last: nothing follows: what is no whole window is filled up with silence.

        Returns:
            Shape (windows,): of the windows that these samples complete, each of
            :data:`WINDOW_SECONDS`.
        """
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        samples = np.concatenate([self._samples, samples])
        if last:
            samples = np.pad(samples, (0, -len(samples) % _WINDOW))
        count = len(samples) // _WINDOW
        self._samples = samples[count * _WINDOW :].copy()
        if not count:
            return np.zeros(0, np.float32)
        windows = samples[: count * _WINDOW].reshape(count, _WINDOW) / np.float32(FULL_SCALE)
        contexts = np.concatenate([self._context[None], windows[:-1, -_CONTEXT:]])
        self._context = windows[-1, -_CONTEXT:].copy()
        probabilities, self._h, self._c = self._graph.run(
            ["speech_probs", "hn", "cn"],
            {"input": np.concatenate([contexts, windows], axis=1), "h": self._h, "c": self._c},
        )
        found: Floats = probabilities.reshape(-1)
        return found


@cache
def _graph() -> Graph:
    """Any number of detectors share it."""
    name = "silero_vad"
    data = Path(__file__).with_name(f"{name}.onnx").read_bytes()
    return open_graph("onnxruntime", name, {f"{name}.onnx": data}, threads=1)
