"""Memory for what was decrypted."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator

from asrpack.errors import ToolchainError

# A multiple of the processor's large pages.
PIECE = 4 << 20
# Linux: left out of core dumps; in large pages, of which a gigabyte has 512 and not 262,144.
_ADVICE = ("MADV_DONTDUMP", "MADV_HUGEPAGE")


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

    @property
    def view(self) -> memoryview:
        """All bytes, in place and writable.

        Raises:
            ValueError: they were used up.
        """
        if self._memory is None:
            raise ValueError("these bytes were used up")
        return memoryview(self._memory)[: self._size]

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
    for name in _ADVICE:
        if (advice := getattr(mmap, name, None)) is not None:
            with contextlib.suppress(OSError):  # a kernel that was built without it
                memory.madvise(advice)
    return memory


Content = bytes | Plaintext


def pieces(content: Content) -> Iterator[bytes | memoryview]:
    """What a file holds, in order; a :class:`Plaintext` is used up by it."""
    if isinstance(content, Plaintext):
        yield from content.drain()
    else:
        yield content
