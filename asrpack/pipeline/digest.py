"""SHA-256 digests of files and folders, in full, with names hashed next to contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no white space, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def digest_json(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_path(path: Path, also: Iterable[Path] = ()) -> str:
    """Digest of a file, or of a folder by the relative names and contents of all its files.

    Args:
        path: what a stage is given.
        also: further files that it stands for (a manifest's recordings), hashed under their
            path relative to ``path``'s folder where they are below it, else under their full path.
    """
    extra = sorted(set(also))
    if path.is_file() and not extra:
        return digest_file(path)
    root = path.parent if path.is_file() else path
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    listing = sorted((_name(item, root), digest_file(item)) for item in [*files, *extra])
    return digest_json(listing)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
