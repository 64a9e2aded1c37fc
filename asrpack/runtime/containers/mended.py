"""A file with other bytes in one place."""

from __future__ import annotations

import io
from typing import BinaryIO


class Mended(io.RawIOBase):
    """Reads a file, and ``mend`` in place of what it has at ``place``; closes it not."""

    def __init__(self, stream: BinaryIO, place: int, mend: bytes) -> None:
        self._stream, self._place, self._mend = stream, place, mend

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        at = self._stream.tell()
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        first = max(at, self._place)
        last = min(at + len(data), self._place + len(self._mend))
        if first < last:
            buffer[first - at : last - at] = self._mend[first - self._place : last - self._place]
        return len(data)
