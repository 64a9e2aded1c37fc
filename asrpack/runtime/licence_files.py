"""Where licences lie, and which of them changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from asrpack.bundle.licence import LICENCE_FILE
from asrpack.bundle.licence_body import MAX_LICENCE
from asrpack.errors import KeyFileError

LICENCE_VARIABLE = "ASRPACK_LICENSE"
MAX_FILES = 256

Versions = dict[Path, tuple[int, int, int]]


def licence_source(given: Path | None, bundle: Path) -> tuple[Path, bool]:
    """The file or folder given, else ``ASRPACK_LICENSE``'s, else ``licence.json`` beside a bundle.

    Beside, not inside: a file that the signature does not list would break the bundle's seal.

    Returns:
        It, and whether anybody named it.
    """
    named = given or os.environ.get(LICENCE_VARIABLE)
    return (Path(named), True) if named else (bundle.absolute().parent / LICENCE_FILE, False)


def find_licences(source: Path) -> Versions:
    """The files of ``source``: itself, or what ends in ``.json`` in that folder. Follows links.

    Returns:
        By path what changes when the file does: inode, size, time of change in nanoseconds.

    Raises:
        KeyFileError: the folder cannot be read or has over 256 of them.
    """
    try:
        paths = sorted(source.glob("*.json")) if source.is_dir() else [source]
    except OSError as error:
        raise unreadable(source, error) from None
    if len(paths) > MAX_FILES:
        raise KeyFileError(
            f"the folder has over {MAX_FILES} licences",
            code="licence-folder",
            place=str(source),
            remedy="leave the newest licence for each bundle there, and remove the others",
        )
    found: Versions = {}
    for path in paths:
        try:
            info = path.stat()
        except OSError:
            continue  # not there, or no longer
        if stat.S_ISREG(info.st_mode):
            found[path] = (info.st_ino, info.st_size, info.st_mtime_ns)
    return found


def read_file(path: Path) -> bytes:
    """One licence's bytes, and at most one more than a licence may have.

    Raises:
        KeyFileError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_LICENCE + 1)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> KeyFileError:
    """The error for what cannot be read."""
    return KeyFileError(
        f"the licence cannot be read: {error.strerror}",
        code="licence-unreadable",
        place=str(path),
        remedy="check the path and its permissions",
    )
