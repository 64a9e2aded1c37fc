"""Recordings again and again, as one WAV file that is nowhere, be it of more than 4 GB."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.rf64 import rf64_header


class RepeatedWav(io.RawIOBase):
    """A 16-bit mono WAV file of any length in the memory of what is repeated.

    Args:
        samples: shape (n,), on the int16 scale, n > 0.
        rate: in Hz.
        seconds: where the file ends, amid a repetition or not.
    """

    def __init__(self, samples: NDArray[np.float32], rate: int, seconds: float) -> None:
        data = samples.clip(-32768, 32767).astype("<i2").tobytes()
        count = round(seconds * rate)
        self._head = rf64_header(rate, count)
        self._data = data
        self._size = len(self._head) + 2 * count
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Up to the end of the header, of a repetition or of the file."""
        if self._at < len(self._head):
            found = self._head[self._at :]
        else:
            found = self._data[(self._at - len(self._head)) % len(self._data) :]
        count = max(0, min(len(buffer), len(found), self._size - self._at))
        buffer[:count] = found[:count]
        self._at += count
        return count
