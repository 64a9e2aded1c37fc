"""``pkcs11:`` URIs (RFC 7512): which key in which token, and where its PIN is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from asrpack.errors import KeyFileError

MODULE_VARIABLE = "PKCS11_MODULE_PATH"
MAX_PIN = 256
_PATH = ("token", "serial", "object", "id")
_QUERY = ("pin-source", "module-path")


class Pkcs11Uri:
    """A parsed URI.

    Attributes:
        place: the URI without its query, which errors show.

    Raises:
        KeyFileError: an attribute that is not used here, without a value or given twice, or a PIN.
    """

    def __init__(self, reference: str) -> None:
        path, _, query = reference.removeprefix("pkcs11:").partition("?")
        self.place = f"pkcs11:{path}"
        self._values: dict[str, str] = {}
        for part, separator, allowed in ((path, ";", _PATH), (query, "&", _QUERY)):
            for item in filter(None, part.split(separator)):
                name, _, value = item.partition("=")
                if name == "pin-value":
                    self.place = "pkcs11:"
                    raise self.error(
                        "pin-in-uri",
                        "a PIN does not belong into a URI, which others can see",
                        "give pin-source=/path/to/file or pin-source=env:NAME",
                    )
                if name not in allowed or not value or name in self._values:
                    raise self.error(
                        "uri",
                        f"the attribute {name[:32]!r} is not used here, is empty or is there twice",
                        f"use {', '.join(_PATH)}, and after a ? {', '.join(_QUERY)}",
                    )
                self._values[name] = value

    @property
    def token(self) -> str | None:
        """The token's label."""
        return self._text("token")

    @property
    def serial(self) -> str | None:
        """The token's serial number."""
        return self._text("serial")

    @property
    def object(self) -> str | None:
        """The key's label."""
        return self._text("object")

    @property
    def id(self) -> bytes | None:
        """The key's identifier."""
        return unquote_to_bytes(self._values["id"]) if "id" in self._values else None

    def module(self) -> str:
        """The library that drives the token: ``module-path``, else ``PKCS11_MODULE_PATH``.

        Raises:
            KeyFileError: neither is there.
        """
        path = self._text("module-path") or os.environ.get(MODULE_VARIABLE)
        if not path:
            raise self.error(
                "module",
                "nothing says which library drives the token",
                f"add ?module-path=/path/to/library.so, or set {MODULE_VARIABLE}",
            )
        return path

    def pin(self) -> str | None:
        """The PIN where ``pin-source`` says: a file, or ``env:NAME``; None where nothing does.

        Raises:
            KeyFileError: there is none.
        """
        source = self._text("pin-source")
        if source is None:
            return None
        if source.startswith("env:"):
            pin = os.environ.get(source[4:])
        else:
            try:
                with Path(re.sub("^file:(//)?", "", source)).open(encoding="utf-8") as stream:
                    pin = stream.read(MAX_PIN + 1).removesuffix("\n")
            except (OSError, ValueError):
                pin = None
        if not pin or len(pin) > MAX_PIN:
            raise self.error(
                "pin",
                "there is no PIN where pin-source says",
                "write it into that file, or export that variable",
            )
        return pin

    def error(self, code: str, message: str, remedy: str | None = None) -> KeyFileError:
        """An error at this URI."""
        return KeyFileError(
            message,
            code=f"pkcs11-{code}",
            place=self.place,
            remedy=remedy or "check the URI with `pkcs11-tool --list-objects`, and the token",
        )

    def _text(self, name: str) -> str | None:
        return unquote(self._values[name]) if name in self._values else None
