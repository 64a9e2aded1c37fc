"""Host documents: what a licence that is bound to a host knows of that host.

The customer makes one on the host (``asrpack license host``) and the vendor puts it into the
licence. It holds no identifier of the machine, only an HMAC-SHA256 of each under a salt of its
own. That keeps two documents of one host apart; it does not hide a value that can be guessed.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asrpack.bundle.verify import FormatError, canonical_json, check_shape, strict_json
from asrpack.errors import KeyFileError

HOST_FORMAT = "asrpack-host/1"
KINDS = ("board-serial", "mac", "machine-id", "product-uuid")
SALT_SIZE = 16
MAX_HOST = 4096
SHAPE = {"salt": str, "needed": int, "factors": [{"kind": str, "hmac": str}]}
_CODE = "host-format"
_SALT = re.compile(r"[0-9a-f]{32}")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HostBinding:
    """One host that a licence is for.

    Attributes:
        salt: 16 bytes, hexadecimal.
        needed: so many of the factors must be the host's own.
        factors: HMAC (hexadecimal) by kind, kinds of :data:`KINDS` in order.
    """

    salt: str
    needed: int
    factors: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, values: Mapping[str, str], salt: bytes, needed: int) -> HostBinding:
        """A binding to a host whose identifiers by kind are ``values``."""
        factors = tuple((kind, factor_hmac(salt, kind, values[kind])) for kind in sorted(values))
        return cls(salt.hex(), needed, factors)

    def matching(self, values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """The kinds of which one of the values given is the one meant."""
        salt = bytes.fromhex(self.salt)
        return tuple(
            kind
            for kind, expected in self.factors
            if any(
                hmac.compare_digest(factor_hmac(salt, kind, value), expected)
                for value in values.get(kind, ())
            )
        )

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a licence."""
        return {
            "salt": self.salt,
            "needed": self.needed,
            "factors": [{"kind": kind, "hmac": value} for kind, value in self.factors],
        }

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> HostBinding:
        """Reads what has :data:`SHAPE`.

        Raises:
            FormatError: a value that is not allowed.
        """
        factors = tuple((item["kind"], item["hmac"]) for item in raw["factors"])
        kinds = [kind for kind, _ in factors]
        if not _SALT.fullmatch(raw["salt"]):
            raise FormatError(_CODE, "a host's salt is not 16 bytes in lower-case hexadecimal")
        if not set(kinds) <= set(KINDS) or kinds != sorted(set(kinds)):
            raise FormatError(_CODE, "a host's factors are unknown, unsorted or given twice")
        if not all(_HEX.fullmatch(value) for _, value in factors):
            raise FormatError(_CODE, "a host's factor is not an HMAC-SHA256 in lower case")
        if not 1 <= raw["needed"] <= len(factors):
            raise FormatError(_CODE, "a host needs none of its factors, or more than it has")
        return cls(raw["salt"], raw["needed"], factors)

    def to_json(self) -> bytes:
        """The host document, canonical JSON."""
        return canonical_json({"format": HOST_FORMAT, **self.as_dict()})

    @classmethod
    def from_json(cls, data: bytes, place: str) -> HostBinding:
        """Reads a host document; white space around the JSON's parts is allowed.

        Raises:
            KeyFileError: it is none.
        """
        try:
            raw = strict_json(data, MAX_HOST)
            check_shape(raw, {"format": str, **SHAPE}, "the host document", _CODE)
            if raw["format"] != HOST_FORMAT:
                raise FormatError(_CODE, f"its format is {raw['format']!r}, not {HOST_FORMAT!r}")
            return cls.from_dict(raw)
        except FormatError as error:
            raise KeyFileError(
                f"this is not a host document: {error}",
                code=_CODE,
                place=place,
                remedy="let the customer run `asrpack license host` on that host again",
            ) from None


def factor_hmac(salt: bytes, kind: str, value: str) -> str:
    """HMAC-SHA256 (hexadecimal) of one identifier: key is the salt, text ``kind NUL value``."""
    return hmac.digest(salt, f"{kind}\0{value}".encode(), "sha256").hex()
