"""Memory for what was decrypted."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from asrpack.errors import ToolchainError

PIECE = 4 << 20  # given back at a time
_POPULATE_WRITE = 23  # madvise(2), of Linux 5.14 and later


class Plaintext:
    """Decrypted bytes. Equal to ``bytes`` of the same contents; ``bytes(…)`` copies them.

    Args:
        size: in bytes; all are zero at first.

    Raises:
        ToolchainError: this host has not as much memory.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, size: int) -> None:
        self._size = size
        self._memory: mmap.mmap | None = _allocate(size)

    @classmethod
    def of_file(cls, path: Path) -> Plaintext:
        """What a file in the clear holds, in such memory.

        Raises:
            OSError: it cannot be read.
        """
        with path.open("rb", buffering=0) as stream:
            content = cls(os.fstat(stream.fileno()).st_size)
            view = content.view
            while count := stream.readinto(view):
                view = view[count:]
        return content

    @property
    def view(self) -> memoryview:
        """All bytes, in place and writable.

        Raises:
            ValueError: they were used up.
        """
        if self._memory is None:
            raise ValueError("these bytes were used up")
        return memoryview(self._memory)[: self._size]

    def prepare(self, start: int, size: int) -> None:
        """Has memory put under a range that is about to be written, all at once.

        A gigabyte is 262,144 pages; a fault for each costs half as much again. Large pages cost
        more than either where a hypervisor has to find them first. ctypes and not
        :meth:`mmap.mmap.madvise`, which keeps other threads waiting.
        """
        if sys.platform == "linux" and size and self._memory is not None:
            first = start - start % mmap.PAGESIZE
            base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
            ctypes.CDLL(None).madvise(
                ctypes.c_void_p(base + first),
                ctypes.c_size_t(min(start + size, self._size) - first),
                _POPULATE_WRITE,
            )

    def drain(self) -> Iterator[memoryview]:
        """All bytes piece by piece, from the first. Each piece's memory is given back after it.

        So whoever copies them needs the memory once and not twice. Nothing is left afterwards.

        Raises:
            ValueError: they were used up.
        """
        view, memory, self._memory = self.view, self._memory, None
        assert memory is not None
        for start in range(0, self._size, PIECE):
            yield view[start : start + PIECE]
            if hasattr(mmap, "MADV_DONTNEED"):
                memory.madvise(mmap.MADV_DONTNEED, start, min(PIECE, self._size - start))

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return bytes(self.view)

    def __eq__(self, other: object) -> bool:
        return self.view == (other.view if isinstance(other, Plaintext) else other)

    def __contains__(self, text: bytes) -> bool:
        return self._memory is not None and self._memory.find(text) >= 0


def _allocate(size: int) -> mmap.mmap:
    length = size or 1  # a mapping of nothing is not possible
    try:
        if not hasattr(mmap, "MAP_PRIVATE"):
            return mmap.mmap(-1, length)
        memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise ToolchainError(
            f"no memory for {size} bytes of the model: {error}",
            code="memory",
            remedy="give this process more memory",
        ) from None
    if hasattr(mmap, "MADV_DONTDUMP"):
        with contextlib.suppress(OSError):  # a kernel that was built without it
            memory.madvise(mmap.MADV_DONTDUMP)
    return memory


Content = bytes | Plaintext


def pieces(content: Content) -> Iterator[bytes | memoryview]:
    """What a file holds, in order; a :class:`Plaintext` is used up by it."""
    if isinstance(content, Plaintext):
        yield from content.drain()
    else:
        yield content
