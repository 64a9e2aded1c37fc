"""From samples to what the encoder's graph takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import Cmvn, FrontEndSpec, WaveformSpec
from asrpack.runtime.features import Fbank, apply_cmvn, stack_frames

# What :func:`asrpack.runtime.audio.read_audio` makes of a sample of 1.0.
FULL_SCALE = 32768.0


class FrontEnd:
    """The front end that a model's description names.

    A frame is one row of features, or one sample where the graph takes samples.
    """

    def __init__(self, spec: FrontEndSpec, cmvn: Cmvn | None) -> None:
        self._cmvn = cmvn
        self._scale = np.float32(spec.full_scale / FULL_SCALE)
        self._stack = (1, 1)
        self._fbank: Fbank | None = None
        if not isinstance(spec, WaveformSpec):
            self._fbank = Fbank(spec)
            self._stack = (spec.stack, spec.stack_shift)

    @property
    def shift(self) -> int:
        """Samples from one frame to the next."""
        return 1 if self._fbank is None else self._fbank.window_shift * self._stack[1]

    def frames(self, samples: int) -> int:
        """How many frames that many samples give."""
        if self._fbank is None:
            return samples
        return -(-self._fbank.frames(samples) // self._stack[1])

    def samples(self, frames: int) -> int:
        """The most samples that give no more than this number of frames."""
        if self._fbank is None:
            return frames
        return self._fbank.samples(frames * self._stack[1])

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features as the graph takes them.

        Args:
            samples: shape (n,), on the int16 scale, at the model's rate.

        Returns:
            Shape (T, D), or (n,) where the graph takes samples.
        """
        if self._scale != 1.0:
            samples = samples * self._scale
        if self._fbank is None:
            return samples
        return apply_cmvn(stack_frames(self._fbank(samples), *self._stack), self._cmvn)
