"""What is fuzzed: each reader of bytes that a stranger may have made, with documents to start from.

A reader may refuse with its documented errors and with nothing else.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from asrpack.bundle.envelope import ENVELOPE_FILE, Envelope
from asrpack.bundle.keys import public_pem, read_key
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.verify import FormatError, read_policy, read_signature, read_statement
from asrpack.errors import AsrpackError
from asrpack.protect.keys import generate
from asrpack.protect.trust import (
    add_signer,
    advance,
    in_words,
    new_policy,
    policy_bytes,
    require_countersigner,
    require_created,
    revoke,
)
from tests.fuzz import customers, licences
from tests.hostile.bundles import SealedBundle, make_bundle, read_payload

VECTORS = Path(__file__).parents[1] / "vectors"
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


def _envelopes(bundle: SealedBundle) -> list[bytes]:
    """With several kinds of recipients, too, and of files in parts."""
    vectors = [json.loads(path.read_bytes()) for path in sorted(VECTORS.glob("*.json"))]
    published = [base64.b64decode(item["bundle"][ENVELOPE_FILE]) for item in vectors]
    return [*_files(ENVELOPE_FILE)(bundle), *published]


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


def _policy(data: bytes) -> None:
    policy = read_policy(data)
    assert policy.closed or len(policy.signers) == 1
    list(in_words(policy))


def _policies(bundle: SealedBundle) -> list[bytes]:
    vendor = bundle.bytes_of("vendor.pub")
    partner, besides = (
        public_pem(read_key(generate(kind), kind)) for kind in ("signing", "signing-pq")
    )
    policy = new_policy()
    add_signer(policy, "vendor", vendor, besides, "2026-01-01", "none")
    require_countersigner(policy, "partner", partner)
    revoke(policy, "0" * 64)
    revoke(policy, "0d5ae0d2-6d0f-4cf0-9d0f-7a8f9c5e1a2b")
    advance(policy, "digits", 7)
    require_created(policy, "2026-01-01", "400")
    return [policy_bytes(policy), policy_bytes(new_policy()), vendor]


READERS: dict[str, Reader] = {
    "customer-list": Reader(customers.read_list, customers.lists),
    "customers": Reader(customers.read, customers.tables),
    "envelope": Reader(_envelope, _envelopes),
    "host": Reader(licences.read_host, licences.hosts),
    "key": Reader(lambda data: read_key(data, "key"), _keys),
    "licence": Reader(licences.read, licences.licences),
    "manifest": Reader(read_statement, lambda bundle: [read_payload(bundle.path)]),
    "metadata": Reader(_metadata, _files("asrpack.json")),
    "policy": Reader(_policy, _policies),
    "signature": Reader(read_signature, _files("model.sig")),
    "state": Reader(licences.read_state, licences.states),
}


@cache
def seeds(name: str) -> list[bytes]:
    """A reader's sound documents."""
    with tempfile.TemporaryDirectory(prefix="asrpack-fuzz-") as folder:
        return READERS[name].seeds(make_bundle(Path(folder) / "sealed"))
