"""Making keys and writing them to files that only their owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, x25519

from asrpack.bundle.keys import (
    WATERMARK,
    WATERMARK_SIZE,
    XWING_PRIVATE,
    XWING_SEED_SIZE,
    Key,
    Kind,
    armour,
    public_pem,
    read_key,
)
from asrpack.bundle.staged import staged
from asrpack.errors import KeyFileError

Kem = Literal["x-wing", "x25519"]
Curve = Literal["p256", "p384"]


def generate(kind: Kind, kem: Kem = "x-wing", curve: Curve = "p256") -> bytes:
    """A fresh private key as text.

    Args:
        kind: ``signing`` (ECDSA), ``signing-pq`` (ML-DSA-65), ``recipient`` or ``watermark`` (256
            random bits).
        kem: a recipient's algorithm.
        curve: of a signing key.
    """
    if kind == "signing":
        return _pkcs8(
            ec.generate_private_key(ec.SECP256R1() if curve == "p256" else ec.SECP384R1())
        )
    if kind == "signing-pq":
        return _pkcs8(mldsa.MLDSA65PrivateKey.generate())
    if kind == "watermark":
        return armour(WATERMARK, secrets.token_bytes(WATERMARK_SIZE))
    if kem == "x-wing":
        return armour(XWING_PRIVATE, secrets.token_bytes(XWING_SEED_SIZE))
    return _pkcs8(x25519.X25519PrivateKey.generate())


def public_path(private: Path) -> Path:
    """Where the public half goes: ``vendor.pem`` and ``vendor`` give ``vendor.pub``."""
    return private.with_suffix(".pub")


def write_key_pair(text: bytes, path: Path, *, force: bool = False) -> tuple[Key, Path | None]:
    """Writes a private key (mode 0600) and beside it the public half (0644), if it has one.

    Each file appears whole or not at all.

    Args:
        text: what :func:`generate` gave.
        path: the private key's file.
        force: replace files that exist.

    Returns:
        The key, and the public half's path.

    Raises:
        KeyFileError: a file exists, or the directory cannot be written.
    """
    key = read_key(text, str(path))
    public = None if key.kind == "watermark" else public_path(path)
    if public == path:
        raise KeyFileError(
            "the private key's file must not end in .pub: that is the public half's name",
            code="key-name",
            place=str(path),
            remedy="choose e.g. -o " + str(path.with_suffix(".pem")),
        )
    # The public half first: a private key without it is the worse thing to be left with.
    wanted = [(public, public_pem(key), 0o644)] if public else []
    wanted.append((path, text, 0o600))
    for target, _, _ in wanted:
        if not force and os.path.lexists(target):
            raise _exists(target)
    for target, data, mode in wanted:
        _write(target, data, mode, force)
    return key, public


def write_public(key: Key, path: Path, *, force: bool = False) -> None:
    """Writes the public half of a private key, wherever that is, to a file (0644).

    Raises:
        KeyFileError: it has none, the file exists, or the directory cannot be written.
    """
    try:
        text = public_pem(key)
    except ValueError as error:
        raise KeyFileError(
            str(error),
            code="key-wrong-kind",
            place=str(path),
            remedy="give a signing key, or a recipient's that is no passphrase",
        ) from None
    _write(path, text, 0o644, force)


def _pkcs8(
    key: ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey | x25519.X25519PrivateKey,
) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, data: bytes, mode: int, force: bool) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged(path, data, mode) as part:
            if not force:
                path.touch(mode=mode, exist_ok=False)  # takes the name, or fails
            part.replace(path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise KeyFileError(
            f"cannot write the key: {error.strerror}",
            code="key-unwritable",
            place=str(path),
            remedy="choose a directory that you can write",
        ) from None


def _exists(path: Path) -> KeyFileError:
    return KeyFileError(
        "the file exists",
        code="key-exists",
        place=str(path),
        remedy="choose another name, or --force to replace it: what a private key opened is then "
        "lost",
    )
