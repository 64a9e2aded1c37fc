"""Which keys to use: the caller's, else those that the environment names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from asrpack.bundle.secrets import SecretSource
from asrpack.errors import KeyFileError, UsageError

TRUST_VARIABLE = "ASRPACK_TRUST"
IDENTITY_VARIABLE = "ASRPACK_IDENTITY"


def trust_paths(given: Sequence[Path]) -> list[Path]:
    """The vendor's key files: those given, else those that ``ASRPACK_TRUST`` lists."""
    if given:
        return list(given)
    return [Path(item) for item in os.environ.get(TRUST_VARIABLE, "").split(os.pathsep) if item]


def read_trust(paths: Sequence[Path]) -> list[bytes]:
    """The contents of public key files.

    Raises:
        KeyFileError: one cannot be read.
    """
    keys = []
    for path in paths:
        try:
            keys.append(path.read_bytes())
        except OSError as error:
            raise KeyFileError(
                f"cannot read the trusted key: {error.strerror}",
                code="trust-unreadable",
                place=str(path),
                remedy=f"give the vendor's public key with --trust or {TRUST_VARIABLE}",
            ) from None
    return keys


def identity_source(given: str | None) -> SecretSource:
    """Where the recipient's private key is: as given, else as ``ASRPACK_IDENTITY`` says.

    Raises:
        UsageError: neither says so.
    """
    text = given or os.environ.get(IDENTITY_VARIABLE)
    if not text:
        raise UsageError(
            "the bundle is encrypted and no private key was given",
            code="identity-missing",
            remedy=f"give yours with --identity or {IDENTITY_VARIABLE}: "
            "a path, env:NAME, cmd:COMMAND, passphrase:… or pkcs11:…",
        )
    return SecretSource.parse(text)
