"""Tells whether a WAV file is cut short: libsndfile quietly reads what is left of one."""

from __future__ import annotations

import io
from typing import BinaryIO

# What programs that write to a pipe leave in the header, as they cannot go back to mend it.
_UNKNOWN_SIZES = frozenset({0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFFFFF - 36, 0x7FFFF000})


def missing_bytes(stream: BinaryIO) -> int:
    """How many bytes of its audio a RIFF/WAVE file announces but lacks.

    Args:
        stream: the file, seekable; anything that is not RIFF/WAVE gives 0. Left anywhere.

    Returns:
        0 for a whole file, and for one that was streamed and so never knew its length.
    """
    end = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0
    at = 12
    while len(chunk := stream.read(8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"data":
            return 0 if size in _UNKNOWN_SIZES else max(0, at + 8 + size - end)
        at = stream.seek(at + 8 + size + size % 2)  # chunks start at even offsets
    return max(1, at + 8 - end)  # it ends before its audio starts
