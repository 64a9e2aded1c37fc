"""Vectors that others published: C2SP's of chunked encryption, RFC 9180's and X-Wing's of HPKE."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from asrpack.bundle.keys import XWING_PRIVATE, armour, recipient_private
from asrpack.bundle.payload import Decryption, Part, decrypt
from asrpack.bundle.plaintext import Plaintext
from asrpack.errors import IntegrityError
from tests.vectors import steps

cryptography_vectors = pytest.importorskip("cryptography_vectors")


def published(name: str) -> Any:
    with cryptography_vectors.open_vector_file(name, "r") as stream:
        return json.load(stream)


COBBLESTONE = [
    item
    for item in published("chunked-encryption/vectors.json")["vectors"]
    if item["aead"] == "AEAD_AES_256_GCM"
]


def test_there_are_some() -> None:
    kinds = [item["expect"] for item in COBBLESTONE]
    assert kinds.count("success") >= 9 and kinds.count("failure") >= 25


def with_sha512(data: bytes, key: bytes, context: bytes) -> bytes:
    """A payload of the scheme with SHA-256, as Cobblestone-256: with the same faults, if any."""
    old_key, old_nonce, old_commitment = steps.payload_keys(key, data[:24], context, "sha256")
    new_key, new_nonce, new_commitment = steps.payload_keys(key, data[:24], context)
    whole = data[24:56] == old_commitment
    out = data[:24] + (new_commitment if whole else data[24:56])
    chunks = steps.split_chunks(data)
    for number, chunk in enumerate(chunks if len(data) > 56 else []):
        out += (
            chunk
            if len(chunk) < 16
            else _again(
                chunk,
                (old_key, steps.chunk_nonce(old_nonce, number)),
                (new_key, steps.chunk_nonce(new_nonce, number)),
            )
        )
    return out


def in_place(data: bytes, key: bytes, context: bytes) -> bytes:
    """As a bundle's payloads are decrypted: into memory of the size that the header says."""
    size = max(0, len(data) - 56 - 16 * ((len(data) - 56) // 16400 + 1))
    plain = Plaintext(size)
    decryption = Decryption(Part("payload", context, 0, size), key, plain)
    for start in range(0, len(data), 10_000):
        decryption(memoryview(data)[start : start + 10_000])
    decryption.finish()
    return bytes(plain)


def _again(chunk: bytes, old: tuple[bytes, bytes], new: tuple[bytes, bytes]) -> bytes:
    try:
        return AESGCM(new[0]).encrypt(new[1], AESGCM(old[0]).decrypt(old[1], chunk, None), None)
    except InvalidTag:
        return chunk


@pytest.mark.parametrize("item", COBBLESTONE, ids=lambda item: item["name"])
def test_chunked_encryption(item: dict[str, Any]) -> None:
    """C2SP's vectors are of the scheme with SHA-256, the hash's name apart Cobblestone-256.

    So they run as they are on the tests' own implementation, and carried over to SHA-512 on
    asrpack's, each with its fault.
    """
    data = base64.b64decode(item["ciphertext"] or "")
    data = zlib.decompress(data) if item.get("compressed") else data
    key, context = bytes.fromhex(item["key"]), item["context"].encode()
    if "aead_key" in item:
        derived = steps.payload_keys(key, data[:24], context, "sha256")
        assert [part.hex() for part in derived[:2]] == [item["aead_key"], item["base_nonce"]]
    ours = with_sha512(data, key, context)
    if item["expect"] == "failure":
        with pytest.raises((ValueError, InvalidTag)):
            steps.decrypt_payload(data, key, context, "sha256")
        # ValueError is for keys of another length, which no envelope can hold.
        for opening in (decrypt, in_place):
            with pytest.raises(IntegrityError if len(key) == 32 else ValueError):
                opening(ours, key, context)
        return
    for plain in (
        steps.decrypt_payload(data, key, context, "sha256"),
        steps.decrypt_payload(ours, key, context),
        decrypt(ours, key, context),
        in_place(ours, key, context),
    ):
        assert len(plain) == item["payload_length"]
        assert hashlib.sha256(plain).hexdigest() == item["payload_sha256"]


def test_dhkem_x25519() -> None:
    (item,) = (
        item
        for item in published("HPKE/test-vectors.json")
        if (item["mode"], item["kem_id"], item["kdf_id"], item["aead_id"]) == (0, 0x20, 1, 2)
    )
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(item["skRm"])).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    shared = steps.decapsulate("x25519", private.decode(), bytes.fromhex(item["enc"]))
    assert shared.hex() == item["shared_secret"]
    key, nonce = steps.key_schedule("x25519", shared, bytes.fromhex(item["info"]))
    assert (key.hex(), nonce.hex()) == (item["key"], item["base_nonce"])


def test_xwing() -> None:
    item = next(
        item
        for item in published("HPKE/hpke-pq-test-vectors.json")
        if (item["mode"], item["kem_id"]) == (0, 0x647A)
    )
    private = armour(XWING_PRIVATE, bytes.fromhex(item["skRm"]))
    assert recipient_private(private, "vector").public_bytes.hex() == item["pkRm"]
    shared = steps.decapsulate("x-wing", private.decode(), bytes.fromhex(item["enc"]))
    assert shared.hex() == item["shared_secret"]
