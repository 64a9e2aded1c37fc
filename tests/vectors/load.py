"""The published vectors, as files."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The second has a file in parts.
FILES = ("envelope.json", "parts.json")


@dataclass(frozen=True)
class Vectors:
    """The vectors' bundle in ``bundle``, its keys beside it.

    Attributes:
        raw: the whole file of vectors.
    """

    folder: Path
    raw: dict[str, Any]

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def key(self, name: str) -> Path:
        """``signing.pub``, ``x25519.key``, ``x-wing.key``, ``argon2id.key`` (a passphrase)."""
        return self.folder / name


def unpack(folder: Path, file: str = FILES[0]) -> Vectors:
    """Writes the vectors' bundle and keys into a folder."""
    vectors = Vectors(folder, json.loads(Path(__file__).with_name(file).read_bytes()))
    for path, text in vectors.raw["bundle"].items():
        target = vectors.bundle / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(text))
    for name, text in vectors.raw["keys"].items():
        vectors.key(f"{name}.key").write_text(text, encoding="utf-8")
    for name, text in vectors.raw["public"].items():
        vectors.key(f"{name}.pub").write_text(text, encoding="utf-8")
    return vectors
