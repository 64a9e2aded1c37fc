"""Kaldi-compatible log-mel filterbank in NumPy, and the mean and variance normalisation.

Follows Kaldi's ``compute-fbank-feats`` as ``paddlespeech/audio/compliance/kaldi.py`` has it:
snip_edges, povey window, no dither, and a log floor that comes from the model's description.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from asrpack.bundle.model import Cmvn, FbankSpec

# Frames at a time: a block's spectra stay in the CPU's cache, and an hour of audio needs no
# more memory than a second.
BLOCK_FRAMES = 256
# Rows of every product with the mel filters: one shape, so that a frame's features are the same
# to the last bit whatever frames are computed with it (a stream's come in any number at a time).
_PRODUCT_ROWS = 32


class Fbank:
    """Computes features for one specification; holds the window and the mel filters.

    Attributes:
        spec: the options it was built with.
        window_size: samples in a frame.
        window_shift: samples between frames.
    """

    def __init__(self, spec: FbankSpec) -> None:
        self.spec = spec
        # In Kaldi's order of operations: an odd rate truncates as it does there.
        self.window_size = int(spec.sample_rate * spec.frame_length_ms * 0.001)
        self.window_shift = int(spec.sample_rate * spec.frame_shift_ms * 0.001)
        self._fft_size = 1 << (self.window_size - 1).bit_length()
        self._window = _WINDOWS[spec.window](self.window_size)
        self._mel = mel_filters(spec, self._fft_size).T.copy()

    def frames(self, samples: int) -> int:
        """How many frames that many samples give: whole windows only."""
        if samples < self.window_size:
            return 0
        return 1 + (samples - self.window_size) // self.window_shift

    def samples(self, frames: int) -> int:
        """The most samples that give no more than this number of frames."""
        return self.window_size + frames * self.window_shift - 1

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel energies.

        Args:
            samples: shape (n,), on the int16 scale.

        Returns:
            Shape (T, D), natural logarithm; T is 0 for less than a window.
        """
        count = self.frames(len(samples))
        out = np.empty((count, self.spec.num_mel_bins), np.float32)
        if not count:
            return out
        windows = sliding_window_view(samples, self.window_size)[:: self.window_shift]
        for start in range(0, count, BLOCK_FRAMES):
            block = windows[start : start + BLOCK_FRAMES]
            out[start : start + len(block)] = self._log_mel(block)
        return out

    def _log_mel(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        frames = windows.astype(np.float64)
        frames -= frames.mean(axis=1, keepdims=True)
        emphasised = frames.copy()
        emphasised[:, 1:] -= self.spec.preemphasis * frames[:, :-1]
        emphasised[:, 0] *= 1.0 - self.spec.preemphasis
        emphasised *= self._window
        spectrum = np.fft.rfft(emphasised, self._fft_size)
        power = spectrum.real**2 + spectrum.imag**2
        out = np.empty((len(power), self.spec.num_mel_bins))
        for start in range(0, len(power), _PRODUCT_ROWS):
            rows = power[start : start + _PRODUCT_ROWS]
            count = len(rows)
            if count < _PRODUCT_ROWS:
                rows = np.concatenate([rows, np.zeros((_PRODUCT_ROWS - count, rows.shape[1]))])
            energies = rows @ self._mel
            np.maximum(energies, self.spec.log_floor, out=energies)
            out[start : start + count] = np.log(energies, out=energies)[:count]
        return out


def povey_window(size: int) -> NDArray[np.float64]:
    """Kaldi's default window: a symmetric Hann window to the power of 0.85. Shape (size,)."""
    phase = 2 * math.pi * np.arange(size) / (size - 1)
    window: NDArray[np.float64] = (0.5 - 0.5 * np.cos(phase)) ** 0.85
    return window


def hamming_window(size: int) -> NDArray[np.float64]:
    """Kaldi's symmetric Hamming window. Shape (size,)."""
    phase = 2 * math.pi * np.arange(size) / (size - 1)
    window: NDArray[np.float64] = 0.54 - 0.46 * np.cos(phase)
    return window


_WINDOWS = {"povey": povey_window, "hamming": hamming_window}


def mel_filters(spec: FbankSpec, fft_size: int) -> NDArray[np.float64]:
    """Triangular filters, evenly spaced in mel = 1127 ln(1 + f / 700).

    Returns:
        Shape (D, fft_size / 2 + 1); the Nyquist bin is 0 in every filter, as in Kaldi.
    """
    nyquist = spec.sample_rate / 2
    high = spec.high_freq if spec.high_freq > 0 else nyquist + spec.high_freq
    low_mel, high_mel = _mel(spec.low_freq), _mel(high)
    delta = (high_mel - low_mel) / (spec.num_mel_bins + 1)
    left = low_mel + delta * np.arange(spec.num_mel_bins)[:, None]
    bins = _mel(np.arange(fft_size // 2) * (spec.sample_rate / fft_size))[None, :]
    rising = (bins - left) / delta
    falling = (left + 2 * delta - bins) / delta
    filters = np.zeros((spec.num_mel_bins, fft_size // 2 + 1))
    filters[:, :-1] = np.maximum(0.0, np.minimum(rising, falling))
    return filters


def _mel(frequency: Any) -> Any:
    return 1127.0 * np.log1p(frequency / 700.0)


def stack_frames(feats: NDArray[np.float32], count: int, shift: int) -> NDArray[np.float32]:
    """Joins ``count`` neighbouring frames every ``shift`` frames (low frame rate).

    After FunASR's ``apply_lfr``: the first frame is repeated on the left so that the first row is
    centred on it, the last one on the right.

    Returns:
        Shape (ceil(T / shift), count * D).
    """
    if (count, shift) == (1, 1) or not len(feats):
        return feats
    rows = -(-len(feats) // shift)
    first = np.arange(rows)[:, None] * shift - (count - 1) // 2
    index = np.clip(first + np.arange(count), 0, len(feats) - 1)
    stacked: NDArray[np.float32] = feats[index].reshape(rows, count * feats.shape[1])
    return stacked


def apply_cmvn(feats: NDArray[np.float32], cmvn: Cmvn | None) -> NDArray[np.float32]:
    """(feats - mean) * istd per bin, in double precision as PaddleSpeech does; shape (T, D)."""
    if cmvn is None:
        return feats
    normalised: NDArray[np.float32] = (
        (feats - np.asarray(cmvn.mean)) * np.asarray(cmvn.istd)
    ).astype(np.float32)
    return normalised
