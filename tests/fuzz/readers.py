"""What is fuzzed: each reader of bytes that a stranger may have made, with documents to start from.

A reader may refuse with its documented errors and with nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from asrpack.bundle.envelope import Envelope
from asrpack.bundle.keys import read_key
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.verify import FormatError, read_signature, read_statement
from asrpack.errors import AsrpackError
from tests.hostile.bundles import SealedBundle, make_bundle, read_payload

REFUSALS = (FormatError, AsrpackError)


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        read: raises one of :data:`REFUSALS`, or accepts.
        seeds: sound documents, made from a sealed bundle and its keys.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[SealedBundle], list[bytes]]


def _files(*names: str) -> Callable[[SealedBundle], list[bytes]]:
    return lambda bundle: [(bundle.path / name).read_bytes() for name in names]


def _keys(bundle: SealedBundle) -> list[bytes]:
    return [
        path.read_bytes() for path in sorted(bundle.folder.iterdir()) if path.suffix != ".mark"
        and path.is_file()
    ]  # fmt: skip


def _envelope(data: bytes) -> None:
    envelope = Envelope.from_json(data)
    assert envelope.to_json() == data, "an envelope has one form"


def _metadata(data: bytes) -> None:
    metadata = BundleMetadata.from_json(data)
    assert BundleMetadata.from_json(metadata.to_json()) == metadata


READERS: dict[str, Reader] = {
    "envelope": Reader(_envelope, _files("model/envelope.json")),
    "key": Reader(lambda data: read_key(data, "key"), _keys),
    "manifest": Reader(read_statement, lambda bundle: [read_payload(bundle.path)]),
    "metadata": Reader(_metadata, _files("asrpack.json")),
    "signature": Reader(read_signature, _files("model.sig")),
}


@cache
def seeds(name: str) -> list[bytes]:
    """A reader's sound documents."""
    with tempfile.TemporaryDirectory(prefix="asrpack-fuzz-") as folder:
        return READERS[name].seeds(make_bundle(Path(folder) / "sealed"))
