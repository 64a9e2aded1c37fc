"""Files in memory, for libraries that read nothing else."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asrpack.bundle.plaintext import Content, pieces

_PIPE_SIZE = 1 << 20
# Nobody may write, cut or lengthen the file, nor take that back (memfd_create(2)).
_SEALS = ("F_SEAL_WRITE", "F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_SEAL")


@contextmanager
def file_in_memory(content: Content, name: str) -> Iterator[Path]:
    """A path that leads to these bytes while the context lasts, and to nothing after it.

    Args:
        content: a :class:`asrpack.bundle.plaintext.Plaintext` is used up.
        name: what the system calls the file; no other process can open it by that.

    Raises:
        OSError, AttributeError: the system has no files in memory.
    """
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            for piece in pieces(content):
                stream.write(piece)
        seals = sum(getattr(fcntl, seal) for seal in _SEALS)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@contextmanager
def pipe_of(content: Content) -> Iterator[Path]:
    """A path that can be read once, from its beginning to its end.

    A reader that copies what it reads has never twice of a
    :class:`asrpack.bundle.plaintext.Plaintext`: it is used up as it is read.
    """
    reading, writing = os.pipe()
    with suppress(OSError):  # a limit of this user's: then it is smaller, and slower
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)

    def write() -> None:
        # A reader that gives up says why itself.
        with suppress(BrokenPipeError), os.fdopen(writing, "wb", buffering=0) as stream:
            for piece in pieces(content):
                left = memoryview(piece)
                while left:
                    left = left[stream.write(left) :]

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield Path(f"/proc/self/fd/{reading}")
    finally:
        os.close(reading)
        writer.join()
