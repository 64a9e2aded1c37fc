"""A passphrase as a recipient: Argon2id (RFC 9106) makes the key that the data keys are under.

They are wrapped as a Cobblestone-256 payload with the header's digest as its context, like the
files. Not by plain AES-GCM: a ciphertext of it can be made that opens under many keys, which
lets whoever watches attempts try many passphrases at once; Cobblestone commits to its key. Nor by
HPKE's mode with a shared secret: RFC 9180 (section 9.5) rules out secrets that can be guessed.
"""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from asrpack.errors import KeyFileError, ToolchainError

ALGORITHM = "argon2id"
MAX_STANZAS = 2
"""Passphrases of one envelope. Each costs whoever opens it seconds."""

SALT_SIZE = 32
KEY_SIZE = 32
MAX_BYTES = 1024
MIN_CHARACTERS = 12
OVERHEAD = 24 + 32 + 16
"""Bytes that wrapping adds: salt and commitment of the payload, tag of its one chunk."""

MEMORY = range(64 << 10, (1 << 20) + 1)
PASSES = range(3, 7)
LANES = range(1, 9)


@dataclass(frozen=True)
class Cost:
    """Argon2id's parameters, within what a reader accepts.

    Attributes:
        memory: KiB, 64 MiB to 1 GiB.
        passes: 3 to 6.
        lanes: 1 to 8.
    """

    memory: int
    passes: int
    lanes: int

    @property
    def fault(self) -> str | None:
        """Why a reader refuses these; None if it does not."""
        for name, value, allowed in (
            ("memory", self.memory, MEMORY),
            ("passes", self.passes, PASSES),
            ("lanes", self.lanes, LANES),
        ):
            if value not in allowed:
                return f"{name} {value} of Argon2id is not within {allowed[0]} to {allowed[-1]}"
        return None


DEFAULT_COST = Cost(memory=256 << 10, passes=3, lanes=4)
"""Of what is written: 0.7 s on two cores."""


def normalise(data: bytes, place: str) -> bytes:
    """A passphrase as it is hashed: without the line end of its file, in Unicode form C.

    Raises:
        KeyFileError: empty, over 1024 bytes, not UTF-8, or of several lines.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _error("it is not UTF-8", place) from None
    lines = text.splitlines()
    if len(lines) > 1:
        raise _error("it has several lines", place)
    passphrase = unicodedata.normalize("NFC", lines[0] if lines else "").encode()
    if not 0 < len(passphrase) <= MAX_BYTES:
        raise _error(f"it is empty or over {MAX_BYTES} bytes", place)
    return passphrase


def check_strength(passphrase: bytes) -> None:
    """Refuses what is too short to be given to a bundle that anyone may copy and try.

    Raises:
        KeyFileError: under 12 characters.
    """
    if len(passphrase.decode()) < MIN_CHARACTERS:
        raise KeyFileError(
            f"the passphrase has under {MIN_CHARACTERS} characters",
            code="passphrase-short",
            place="recipients",
            remedy="take one that nobody guesses, e.g. six words drawn by chance",
        )


def new_salt() -> bytes:
    """32 random bytes."""
    return secrets.token_bytes(SALT_SIZE)


def wrap(secret: bytes, passphrase: bytes, salt: bytes, cost: Cost, info: bytes) -> bytes:
    """The secret under a passphrase, ``OVERHEAD`` bytes longer; ``info`` must be given again."""
    encryptor = Cobblestone256Encryptor(_derive(passphrase, salt, cost), info)
    return encryptor.update(secret) + encryptor.finalize()


def unwrap(wrapped: bytes, passphrase: bytes, salt: bytes, cost: Cost, info: bytes) -> bytes | None:
    """What :func:`wrap` took; None if the passphrase is another, or anything was changed."""
    decryptor = Cobblestone256Decryptor(_derive(passphrase, salt, cost), info)
    try:
        return decryptor.update(wrapped) + decryptor.finalize()
    except InvalidTag:
        return None


def _derive(passphrase: bytes, salt: bytes, cost: Cost) -> bytes:
    kdf = Argon2id(
        salt=salt,
        length=KEY_SIZE,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory,
    )
    try:
        return kdf.derive(passphrase)
    except MemoryError:
        raise ToolchainError(
            f"a passphrase of this bundle takes {cost.memory >> 10} MiB of memory to check",
            code="passphrase-memory",
            remedy="free memory, or use a key as the recipient",
        ) from None


def _error(cause: str, place: str) -> KeyFileError:
    return KeyFileError(
        f"the passphrase cannot be used: {cause}",
        code="passphrase-format",
        place=place,
        remedy="give it as one line of UTF-8",
    )
