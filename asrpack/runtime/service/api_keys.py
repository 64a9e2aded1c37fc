"""Who may use the service: keys that clients send as ``Authorization: Bearer KEY``.

A browser sends no such header with a WebSocket. There the key may be in the name of a subprotocol
that is offered and never chosen, as OpenAI's realtime API has it: ``asrpack-api-key.`` and the key
in base64url, which has room for any key in what a header may hold.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from asrpack.bundle.secrets import SecretSource
from asrpack.errors import KeyFileError

API_KEYS_VARIABLE = "ASRPACK_API_KEYS"
_SHORTEST = 16
_SUBPROTOCOL = "asrpack-api-key."


class ApiKeys:
    """Holds digests only: equal lengths compare in constant time, and no key is kept."""

    def __init__(self, keys: list[bytes]) -> None:
        self._digests = [_digest(key) for key in keys]

    def allow(self, authorization: str | None, subprotocols: Sequence[str] = ()) -> bool:
        """Whether one of the keys was sent; takes as long whichever it is.

        Args:
            authorization: the header; where there is one, it counts.
            subprotocols: those that a WebSocket offers.
        """
        if authorization is None:
            key = _offered(subprotocols)
        else:
            scheme, _, rest = authorization.partition(" ")
            key = rest.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
        digest = _digest(key)
        found = False
        for known in self._digests:
            found |= hmac.compare_digest(known, digest)
        return found


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


def _offered(subprotocols: Sequence[str]) -> bytes:
    """The key in the first subprotocol that has one; no key is empty."""
    for name in subprotocols:
        if name.startswith(_SUBPROTOCOL):
            coded = name.removeprefix(_SUBPROTOCOL)
            try:
                return base64.b64decode(coded + "=" * (-len(coded) % 4), b"-_", validate=True)
            except ValueError:
                break
    return b""


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
