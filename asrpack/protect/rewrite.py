"""Replacing files of a signed bundle: whoever looks sees the old bundle or the new one, whole."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from asrpack.bundle.keys import Key, public_pem
from asrpack.bundle.opening import check_bundle
from asrpack.bundle.verify import SIGNATURE_FILE, Verified
from asrpack.errors import InputError, IntegrityError, ToolchainError
from asrpack.protect.sign import sign_tree

_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100


def rewrite(old: Verified, files: Mapping[str, bytes], signer: Key, name: str) -> Verified:
    """Signs a bundle anew with other contents of some files, in its place.

    A copy is made beside the bundle, signed, verified and exchanged with it by one rename. Killed
    at any moment, the old bundle is in its place or the new one; what may be left beside it,
    ``.NAME.rewrite``, the next run removes. Signatures other than ``model.sig`` were over the old
    files and are not taken along.

    Args:
        old: the bundle, verified.
        files: new contents by path; each path is one of the bundle's.
        signer: a private signing key.
        name: what the statement calls its subject.

    Returns:
        The new bundle, verified against ``signer``.

    Raises:
        InputError: its directory cannot be written, or another run changes it.
        IntegrityError: a file changed since ``old`` was verified.
        ToolchainError: the file system cannot exchange two directories.
    """
    root = old.root.resolve()
    with _locked(root):
        copy = root.with_name(f".{root.name}.rewrite")
        try:
            _remove(copy)
            _copy(old, root, copy, files)
            sign_tree(copy, signer, name)
            for path in [SIGNATURE_FILE, *_folders(old)]:
                shutil.copymode(root / path, copy / path)
            new = check_bundle(copy, [public_pem(signer)])
            _check_unchanged(old, new, files)
            _sync(copy, new)
            _exchange(copy, root)
        except OSError as error:
            raise InputError(
                f"cannot be changed: {error.strerror}",
                code="bundle-unwritable",
                place=str(root),
                remedy="make its parent directory writable, with room for the bundle twice",
            ) from None
        finally:
            _remove(copy)
    return replace(new, root=root)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                "another run is changing this bundle",
                code="bundle-busy",
                place=str(root),
                remedy="wait for it to end",
            ) from None
        yield
    finally:
        os.close(handle)


def _copy(old: Verified, root: Path, copy: Path, files: Mapping[str, bytes]) -> None:
    for folder in _folders(old):
        (copy / folder).mkdir(parents=True, exist_ok=True)
    for path in old.digests:
        if path in files:
            (copy / path).write_bytes(files[path])
            shutil.copymode(root / path, copy / path)
        else:
            shutil.copy(root / path, copy / path)  # contents and mode, no link


def _folders(verified: Verified) -> set[str]:
    return {str(folder) for path in verified.digests for folder in Path(path).parents}


def _remove(tree: Path) -> None:
    for folder, _, _ in os.walk(tree):
        Path(folder).chmod(0o700)  # a bundle's directories may be read-only
    shutil.rmtree(tree, ignore_errors=True)


def _check_unchanged(old: Verified, new: Verified, files: Mapping[str, bytes]) -> None:
    """What was verified must be what is now signed: a file may have been swapped in between."""
    for path, digest in old.digests.items():
        if path not in files and new.digests[path] != digest:
            raise IntegrityError(
                "changed since it was verified",
                code="changed-file",
                place=path,
                remedy="start again, and let nobody write into the bundle meanwhile",
            )


def _sync(root: Path, verified: Verified) -> None:
    """To the disk, before the old bundle goes."""
    for path in [*verified.digests, SIGNATURE_FILE, *_folders(verified)]:
        handle = os.open(root / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _exchange(first: Path, second: Path) -> None:
    """Swaps two directories' names in one step (renameat2 of Linux)."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if sys.platform != "linux" or rename is None:
        failure = "this system has no way to do it"
    else:
        names = os.fsencode(first), os.fsencode(second)
        if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
            return
        failure = os.strerror(ctypes.get_errno())
    raise ToolchainError(
        f"two directories cannot be exchanged in one step here: {failure}",
        code="exchange",
        place=str(second),
        remedy="copy the bundle to a local file system of Linux, and change it there",
    )
