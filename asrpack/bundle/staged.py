"""Files that appear whole or not at all: written beside their place, then put there by a name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staged(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A file with ``data`` on the disk, in the folder of ``path``; removed if it is left there.

    The caller gives it its name: ``replace`` for whatever is there, ``hardlink_to`` for a new one.

    Raises:
        OSError: the folder cannot be written.
    """
    # Not made of its own name, which may be as long as names can be.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        yield part
    finally:
        part.unlink(missing_ok=True)
