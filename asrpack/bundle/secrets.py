"""Where a key comes from: a file, a variable, a command or a provider; never a literal.

Standard library only: this file ships inside bundles.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asrpack.bundle.key_providers import scheme_of
from asrpack.errors import KeyFileError

MAX_SECRET_BYTES = 1 << 20
COMMAND_TIMEOUT = 60.0


@dataclass(frozen=True)
class SecretSource:
    """A reference to key material. Its ``repr`` and ``str`` show the reference only.

    Attributes:
        kind: ``uri`` is a provider's (:mod:`asrpack.bundle.key_providers`).
        value: the path, the variable's name, the command, the whole URI; of a passphrase, the
            reference to where it is, in the command line's form.
    """

    kind: Literal["file", "env", "command", "passphrase", "uri"]
    value: str

    @classmethod
    def parse(cls, text: str) -> SecretSource:
        """Reads the command line's form.

        A path, ``env:NAME``, ``cmd:COMMAND``, a URI that a provider knows (``pkcs11:…``), or
        ``passphrase:`` before one of the first three.
        """
        if text.startswith("env:"):
            return cls("env", text[4:])
        if text.startswith("cmd:"):
            return cls("command", text[4:])
        if text.startswith("passphrase:"):
            return cls("passphrase", text[11:])
        return cls("uri" if scheme_of(text) else "file", text)

    def __str__(self) -> str:
        return self.value if self.kind in ("file", "uri") else f"{self.kind}:{self.value}"

    def read(self) -> bytes:
        """The key's bytes, for :func:`asrpack.bundle.keys.private_key` and what calls it.

        A provider's key stays where it is: these are the reference to it.

        Raises:
            KeyFileError: missing, unreadable, empty or over 1 MiB. The message never
                repeats what was read.
        """
        if self.kind == "uri":
            return _armour("ASRPACK KEY REFERENCE", self.value.encode())
        if self.kind == "passphrase":
            return _armour("ASRPACK PASSPHRASE", self._passphrase().read())
        data = {"file": self._file, "env": self._env, "command": self._command}[self.kind]()
        if not data.strip():
            raise KeyFileError("the key is empty", code="key-empty", place=str(self))
        if len(data) > MAX_SECRET_BYTES:
            raise KeyFileError("the key is over 1 MiB", code="key-too-large", place=str(self))
        return data

    def _passphrase(self) -> SecretSource:
        inner = SecretSource.parse(self.value)
        if inner.kind in ("passphrase", "uri"):
            raise KeyFileError(
                "a passphrase comes from a file, a variable or a command",
                code="passphrase-source",
                place=str(self),
                remedy="give passphrase:PATH, passphrase:env:NAME or passphrase:cmd:COMMAND",
            )
        return inner

    def _file(self) -> bytes:
        try:
            with Path(self.value).open("rb") as stream:
                return stream.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise KeyFileError(
                f"cannot read the key file: {error.strerror}",
                code="key-unreadable",
                place=self.value,
                remedy="check the path and its permissions; `asrpack keys generate` makes a key",
            ) from None

    def _env(self) -> bytes:
        value = os.environ.get(self.value)
        if value is None:
            raise KeyFileError(
                f"the environment variable {self.value} is not set",
                code="key-env-missing",
                place=str(self),
                remedy=f"export {self.value} with the key's text",
            )
        return value.encode()

    def _command(self) -> bytes:
        try:
            done = subprocess.run(
                shlex.split(self.value), stdout=subprocess.PIPE, check=True, timeout=COMMAND_TIMEOUT
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            # The error's own text may carry the command's output: name its kind only.
            raise KeyFileError(
                f"the key command failed ({type(error).__name__})",
                code="key-command",
                place=str(self),
                remedy="run the command by hand; it must print the key and exit with 0",
            ) from None
        return done.stdout


def _armour(label: str, data: bytes) -> bytes:
    # Not that of `keys`, which imports cryptography: verbs that read no key start without.
    return f"-----BEGIN {label}-----\n{b64encode(data).decode()}\n-----END {label}-----\n".encode()


def commitment(secret: bytes) -> str:
    """SHA-256 commitment to a high-entropy key, fit for cache keys and lock files (hex)."""
    return hashlib.sha256(b"asrpack secret commitment v1\0" + secret).hexdigest()
