"""Files that a verb writes for its user."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from asrpack.errors import InputError


def write_text(path: Path, text: str, *, code: str) -> None:
    """As :func:`write_bytes`, in UTF-8."""
    write_bytes(path, text.encode(), code=code)


def write_bytes(path: Path, data: bytes, *, code: str) -> None:
    """Atomically: whoever reads the file sees all of it or none.

    Raises:
        InputError: with this code, where it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error.errno or errno.EIO, code) from None
    finally:
        with suppress(OSError):  # it was never there, nor perhaps its folder
            part.unlink()


def check_folder(path: Path, *, code: str) -> None:
    """Whether a file can be written there: before work that would be lost.

    Raises:
        InputError: as :func:`write_bytes`.
    """
    if not path.parent.is_dir():
        raise _unwritable(path, errno.ENOENT, code)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise _unwritable(path, errno.EACCES, code)
    if path.is_dir():
        raise _unwritable(path, errno.EISDIR, code)


def _unwritable(path: Path, number: int, code: str) -> InputError:
    return InputError(
        f"cannot write: {os.strerror(number)}",
        code=code,
        place=str(path),
        remedy="name a file in a folder that is there and writable",
    )
