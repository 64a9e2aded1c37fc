"""The header of a WAV file that may have more than 4 GB."""

from __future__ import annotations

import struct


def rf64_header(rate: int, count: int) -> bytes:
    """Of 16-bit samples, mono: WAV's, with sizes of 64 bits.

    Args:
        rate: in Hz.
        count: of samples.
    """
    size = 2 * count
    return b"".join(
        [
            struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE"),
            struct.pack("<4sIQQQI", b"ds64", 28, 72 + size, size, count, 0),
            struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16),
            struct.pack("<4sI", b"data", 0xFFFFFFFF),
        ]
    )
