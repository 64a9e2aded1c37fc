"""Who may use the service: keys that clients send as ``Authorization: Bearer KEY``."""

from __future__ import annotations

import hashlib
import hmac

from asrpack.bundle.secrets import SecretSource
from asrpack.errors import KeyFileError

API_KEYS_VARIABLE = "ASRPACK_API_KEYS"
_SHORTEST = 16


class ApiKeys:
    """Holds digests only: equal lengths compare in constant time, and no key is kept."""

    def __init__(self, keys: list[bytes]) -> None:
        self._digests = [_digest(key) for key in keys]

    def allow(self, authorization: str | None) -> bool:
        """Whether this header has one of the keys; takes as long whichever it is."""
        scheme, _, key = (authorization or "").partition(" ")
        digest = _digest(key.strip().encode())
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return found and scheme.lower() == "bearer"


def read_api_keys(source: str) -> ApiKeys:
    """Keys from a file, or ``env:NAME``, or ``cmd:COMMAND``.

    Raises:
        KeyFileError: there is none, or one is short enough to be guessed.
    """
    keys = keys_in(source)
    for number, key in enumerate(keys, 1):
        if len(key) < _SHORTEST:
            raise KeyFileError(
                f"key {number} has {len(key)} characters: it can be guessed",
                code="api-key-short",
                place=str(SecretSource.parse(source)),
                remedy=f"use {_SHORTEST} or more, e.g. from `openssl rand -hex 24`",
            )
    return ApiKeys(keys)


def keys_in(source: str) -> list[bytes]:
    """One a line; blank lines and those that begin with ``#`` are passed over.

    Raises:
        KeyFileError: there is none.
    """
    reference = SecretSource.parse(source)
    lines = [line.strip() for line in reference.read().splitlines()]
    keys = [line for line in lines if line and not line.startswith(b"#")]
    if not keys:
        raise KeyFileError(
            "there is no API key",
            code="api-keys-empty",
            place=str(reference),
            remedy="put one on a line, e.g. from `openssl rand -hex 24`",
        )
    return keys


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
