"""Encrypted files: where their ciphertext lies in a bundle, and decrypting it as it is read.

A payload is Cobblestone-256 (C2SP chunked encryption) under the file's data key. A large file is
several of them, its parts, so that they are hashed and decrypted on all processors at once: a
single SHA-256 is the work of one. docs/format.md has every field.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag

from asrpack.bundle.plaintext import Plaintext
from asrpack.bundle.verify import FormatError, check_shape
from asrpack.errors import IntegrityError

CIPHER = "cobblestone-256"
VERSION = "1"
PART_SIZE = 64 << 20
MIN_PART_SIZE = 16384  # a chunk
MAX_PARTS = 1024
MAX_PLAINTEXT = 64 << 30

_READ_SIZE = 1 << 20
_SHAPE = {"path": str, "size": int, "cipher": str}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*")
_PAYLOAD = re.compile(r"model/[^/]+\.enc(\.[0-9]{4})?")


@dataclass(frozen=True)
class Part:
    """One payload.

    Attributes:
        name: its path in the bundle.
        context: Cobblestone's: ties the ciphertext to its bundle, and to its place in that.
        start: where its plaintext begins in the file, in bytes.
        size: of its plaintext, in bytes.
    """

    name: str
    context: bytes
    start: int
    size: int

    @property
    def sealed_size(self) -> int:
        """Of its ciphertext, in bytes: salt, commitment, and a tag for each chunk."""
        return 56 + self.size + 16 * (self.size // 16384 + 1)

    @property
    def damage(self) -> IntegrityError:
        """That its ciphertext is not what was encrypted."""
        return _damaged(self.name)


@dataclass(frozen=True)
class EncryptedFile:
    """A file under the envelope.

    Its ciphertext is ``model/<path>.enc``, or where it is in parts ``model/<path>.enc.0000`` and
    so on.

    Attributes:
        path: name of the plaintext, e.g. ``encoder.onnx``.
        size: of the plaintext, in bytes.
        part_size: of all parts but the last, in bytes of plaintext; None where it is in one.
    """

    path: str
    size: int
    part_size: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The file as it stands in the envelope's header."""
        parts = {} if self.part_size is None else {"part_size": self.part_size}
        return {"path": self.path, "size": self.size, "cipher": CIPHER, **parts}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> EncryptedFile:
        """Reads what :meth:`as_json` gave.

        Raises:
            FormatError: another cipher, fields missing or unknown, or a value that is not allowed.
        """
        code = "envelope-format"
        parted = "part_size" in raw
        check_shape(raw, {**_SHAPE, "part_size": int} if parted else _SHAPE, "a file", code)
        if raw["cipher"] != CIPHER:
            raise FormatError("envelope-algorithm", f"the cipher {raw['cipher']!r} is not known")
        size, part = raw["size"], raw.get("part_size")
        if not _NAME.fullmatch(raw["path"]) or not 0 <= size <= MAX_PLAINTEXT:
            raise FormatError(code, "a file has a path or size that is not allowed")
        if part is not None and not (
            MIN_PART_SIZE <= part < size and _count(size, part) <= MAX_PARTS
        ):
            raise FormatError(code, "a file is in parts of a size that is not allowed")
        return cls(raw["path"], size, part)

    def parts(self, bundle_id: str) -> Iterator[Part]:
        """Its payloads, in order."""
        if self.part_size is None:
            name, context = f"model/{self.path}.enc", f"{bundle_id}|{self.path}|{VERSION}"
            yield Part(name, context.encode(), 0, self.size)
            return
        for number in range(_count(self.size, self.part_size)):
            start = number * self.part_size
            yield Part(
                f"model/{self.path}.enc.{number:04}",
                # No path of a file has a slash.
                f"{bundle_id}|{self.path}/{number:04}|{VERSION}".encode(),
                start,
                min(self.part_size, self.size - start),
            )


def _count(size: int, part_size: int) -> int:
    return -(-size // part_size)


def is_payload(path: str) -> bool:
    """Whether a path in a bundle is that of a payload."""
    return _PAYLOAD.fullmatch(path) is not None


class Decryption:
    """Decrypts one payload into its place in the file, piece by piece.

    What is in that place counts only once :meth:`finish` returns.

    Args:
        part: which one.
        key: the file's data key, 32 bytes.
        content: of the whole file.
    """

    def __init__(self, part: Part, key: bytes, content: Plaintext) -> None:
        self._part = part
        self._content = content
        self._target = content.view[part.start : part.start + part.size]
        self._end = 0
        self._decryptor: Cobblestone256Decryptor | None = Cobblestone256Decryptor(key, part.context)

    def __call__(self, piece: memoryview) -> None:
        """Takes the next piece of ciphertext, of any length.

        A fault is told at the end: until then whoever reads the pieces may still find that they
        are not what was signed, which says more.
        """
        if self._decryptor is None:
            return
        room = min(len(piece), len(self._target) - self._end)
        self._content.prepare(self._part.start + self._end, room)
        try:
            self._end += self._decryptor.update_into(piece, self._target[self._end :])
        except (InvalidTag, ValueError):  # ValueError: more than there is room for
            self._decryptor = None

    def finish(self) -> None:
        """Sees that this was the whole payload, and no other.

        Raises:
            IntegrityError: another key or context, or a ciphertext that was cut, changed or
                extended.
        """
        try:
            if self._decryptor is None:
                raise InvalidTag
            last = self._decryptor.finalize()
            if self._end + len(last) != self._part.size:
                raise InvalidTag
        except InvalidTag:
            raise self._part.damage from None
        self._target[self._end :] = last


def decrypt(ciphertext: bytes, key: bytes, context: bytes, place: str = "payload") -> bytes:
    """Decrypts one payload of any size; returns nothing before all of it is verified.

    Raises:
        IntegrityError: as :meth:`Decryption.finish`.
    """
    decryptor = Cobblestone256Decryptor(key, context)
    # BytesIO gives its buffer away without a copy: one plaintext in memory, not two.
    plaintext = io.BytesIO()
    view = memoryview(ciphertext)
    try:
        for start in range(0, len(view), _READ_SIZE):
            plaintext.write(decryptor.update(view[start : start + _READ_SIZE]))
        plaintext.write(decryptor.finalize())
    except InvalidTag:
        raise _damaged(place) from None
    return plaintext.getvalue()


def _damaged(place: str) -> IntegrityError:
    return IntegrityError(
        "the ciphertext does not decrypt: it was cut, changed or moved",
        code="ciphertext",
        place=place,
        remedy="get the bundle again from its vendor",
    )
