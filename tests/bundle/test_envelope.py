"""The envelope: its exact form, who can open it, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hpke

from asrpack.bundle.envelope import Envelope, open_envelope, read_signer
from asrpack.bundle.keys import (
    public_pem,
    recipient_private,
    recipient_public,
    signing_private,
    signing_public,
)
from asrpack.bundle.payload import decrypt
from asrpack.bundle.verify import canonical_json
from asrpack.errors import IntegrityError, KeyFileError
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.keys import generate
from tests.hostile.bundles import PLAINTEXTS, SealedBundle


@pytest.fixture
def data(master_bundle: SealedBundle) -> bytes:
    return (master_bundle.path / "model" / "envelope.json").read_bytes()


@pytest.mark.parametrize("name", ["customer.key", "old.key"])
def test_each_recipient_opens_every_file(master_bundle: SealedBundle, name: str) -> None:
    folder = master_bundle.path / "model"
    data = (folder / "envelope.json").read_bytes()
    keys = open_envelope(data, recipient_private(master_bundle.bytes_of(name), name))
    header = Envelope.from_json(data).header
    assert len(set(keys.values())) == 3
    for item in header.files:
        (part,) = item.parts(header.bundle_id)
        sealed = (master_bundle.path / part.name).read_bytes()
        assert PLAINTEXTS[item.path][:20] not in sealed
        assert decrypt(sealed, keys[item.path], part.context) == PLAINTEXTS[item.path]


def test_a_stranger_learns_whose_it_is(master_bundle: SealedBundle, data: bytes) -> None:
    stranger = recipient_private(master_bundle.bytes_of("stranger.key"), "stranger.key")
    customer = recipient_private(master_bundle.bytes_of("customer.key"), "customer.key")
    with pytest.raises(KeyFileError) as error:
        open_envelope(data, stranger)
    assert error.value.exit_code == 7
    assert stranger.fingerprint in str(error.value)
    assert customer.fingerprint in str(error.value)


def test_the_form_is_as_documented(master_bundle: SealedBundle, data: bytes) -> None:
    """Opens an X25519 recipient's entry from docs/format.md alone."""
    raw = json.loads(data)
    info = hashlib.sha256(canonical_json(raw["header"])).digest()
    key = recipient_private(master_bundle.bytes_of("old.key"), "old.key")
    entry = next(item for item in raw["recipients"] if item["kid"] == key.fingerprint)
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    keys = suite.decrypt(base64.b64decode(entry["wrapped"]), key.handle, info)
    assert len(keys) == 32 * 3
    assert [item["path"] for item in raw["header"]["files"]] == sorted(PLAINTEXTS)
    sealed = (master_bundle.path / "model" / "decoder.onnx.enc").read_bytes()
    context = f"{raw['header']['bundle_id']}|decoder.onnx|1".encode()
    assert decrypt(sealed, keys[:32], context) == PLAINTEXTS["decoder.onnx"]


def test_the_signer_is_read_before_anything_is_verified(master_bundle: SealedBundle) -> None:
    vendor = signing_public(master_bundle.bytes_of("vendor.pub"), "vendor.pub")
    assert read_signer(master_bundle.path) == vendor.public_bytes


def test_no_envelope(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as error:
        read_signer(tmp_path)
    assert error.value.code == "envelope-missing"


def test_not_canonical(data: bytes) -> None:
    with pytest.raises(IntegrityError) as error:
        Envelope.from_json(data + b"\n")
    assert error.value.code == "envelope-json-not-canonical"


@pytest.mark.parametrize("name", ["customer.key", "old.key"])
def test_the_wrapped_key_is_bound_to_the_header(
    master_bundle: SealedBundle, data: bytes, name: str
) -> None:
    """Another signer in the header, everything else as it was: no recipient can open it."""
    key = recipient_private(master_bundle.bytes_of(name), name)
    raw = json.loads(data)
    other = signing_public_of_another()
    raw["header"]["signer"] = base64.b64encode(other).decode()
    with pytest.raises(IntegrityError) as error:
        open_envelope(canonical_json(raw), key)
    assert error.value.code == "envelope-wrapped-key"


def signing_public_of_another() -> bytes:
    return signing_private(generate("signing"), "another").public_bytes


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, bytes, bytes]:
    """Ciphertext of three chunks, its data key, its context, its plaintext."""
    out = tmp_path_factory.mktemp("payload")
    private = generate("recipient", "x25519")
    identity = recipient_private(private, "key")
    plain = bytes(range(251)) * 180
    envelope = encrypt_files(
        {"encoder.onnx": plain}, [recipient_public(public_pem(identity), "key")], b"signer", out
    )
    key = open_envelope(envelope.to_json(), identity)["encoder.onnx"]
    sealed = (out / "encoder.onnx.enc").read_bytes()
    return sealed, key, f"{envelope.header.bundle_id}|encoder.onnx|1".encode(), plain


def test_payload_of_another_place(payload: tuple[bytes, bytes, bytes, bytes]) -> None:
    sealed, key, context, plain = payload
    assert decrypt(sealed, key, context) == plain
    with pytest.raises(IntegrityError):
        decrypt(sealed, key, context.replace(b"encoder", b"decoder"))
    with pytest.raises(IntegrityError):
        decrypt(sealed, bytes(32), context)
