"""Files that a verb writes for its user."""

from __future__ import annotations

import os
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
        raise InputError(
            f"cannot write: {error.strerror}",
            code=code,
            place=str(path),
            remedy="give a folder that is there and writable with -o",
        ) from None
    finally:
        part.unlink(missing_ok=True)
