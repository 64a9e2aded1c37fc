"""The envelope: its exact form, who can open it, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke

from asrpack.bundle.envelope import MAX_RECIPIENTS, Envelope, open_envelope, read_signer
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


def _set(*path: str | int, value: Any) -> Callable[[Any], None]:
    def act(raw: Any) -> None:
        for step in path[:-1]:
            raw = raw[step]
        raw[path[-1]] = value

    return act


REFUSED: dict[str, tuple[Callable[[Any], None], str]] = {
    "another format": (_set("header", "format", value="x"), "envelope-format"),
    "unknown suite": (_set("header", "suite", value="x"), "envelope-algorithm"),
    "unknown cipher": (_set("header", "files", 0, "cipher", value="rot13"), "envelope-algorithm"),
    "unknown KEM": (_set("recipients", 0, "kem", value="rsa"), "envelope-algorithm"),
    "no bundle id": (_set("header", "bundle_id", value="1"), "envelope-format"),
    "a field more": (_set("header", "more", value=1), "envelope-format"),
    "no files": (_set("header", "files", value=[]), "envelope-format"),
    "path out of the folder": (
        _set("header", "files", 0, "path", value="../x"),
        "envelope-format",
    ),
    "size true": (_set("header", "files", 0, "size", value=True), "envelope-format"),
    "parts of a field more": (
        _set("header", "files", 0, "part", value=16384),
        "envelope-format",
    ),
    "part size true": (_set("header", "files", 0, "part_size", value=True), "envelope-format"),
    "part size null": (_set("header", "files", 0, "part_size", value=None), "envelope-format"),
    "part size zero": (_set("header", "files", 0, "part_size", value=0), "envelope-format"),
    "parts too small": (_set("header", "files", 1, "part_size", value=16383), "envelope-format"),
    "one part": (_set("header", "files", 1, "part_size", value=76800), "envelope-format"),
    "too many parts": (
        lambda raw: raw["header"]["files"][1].update(size=16384 * 1024 + 1, part_size=16384),
        "envelope-format",
    ),
    "size negative": (_set("header", "files", 0, "size", value=-1), "envelope-format"),
    "files unsorted": (lambda raw: raw["header"]["files"].reverse(), "envelope-format"),
    "no recipient": (_set("recipients", value=[]), "envelope-recipients"),
    "a recipient twice": (
        lambda raw: raw["recipients"].insert(0, raw["recipients"][0]),
        "envelope-recipients",
    ),
    "too many recipients": (
        lambda raw: raw["recipients"].extend([raw["recipients"][0]] * MAX_RECIPIENTS),
        "envelope-recipients",
    ),
    "short wrapped key": (_set("recipients", 0, "wrapped", value="AAAA"), "envelope-recipients"),
    "key id in upper case": (_set("recipients", 0, "kid", value="A" * 64), "envelope-recipients"),
}


@pytest.mark.parametrize(("act", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes, act: Callable[[Any], None], code: str) -> None:
    raw = json.loads(data)
    act(raw)
    with pytest.raises(IntegrityError) as error:
        Envelope.from_json(canonical_json(raw))
    assert error.value.code == code


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


def test_a_zero_x25519_share(master_bundle: SealedBundle, data: bytes) -> None:
    key = recipient_private(master_bundle.bytes_of("old.key"), "old.key")
    raw = json.loads(data)
    for item in raw["recipients"]:
        if item["kid"] == key.fingerprint:
            wrapped = base64.b64decode(item["wrapped"])
            item["wrapped"] = base64.b64encode(bytes(32) + wrapped[32:]).decode()
    with pytest.raises(IntegrityError) as error:
        open_envelope(canonical_json(raw), key)
    assert error.value.code == "envelope-wrapped-key"


def test_the_kem_named_must_be_the_keys(master_bundle: SealedBundle, data: bytes) -> None:
    """Entries of two recipients swapped between algorithms."""
    raw = json.loads(data)
    first, second = raw["recipients"]
    first["kid"], second["kid"] = second["kid"], first["kid"]
    raw["recipients"].sort(key=lambda item: item["kid"])
    for name in ("customer.key", "old.key"):
        with pytest.raises(IntegrityError):
            open_envelope(
                canonical_json(raw), recipient_private(master_bundle.bytes_of(name), name)
            )


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


HEAD, CHUNK = 56, 16384 + 16


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda c: b"",
    "cut in the head": lambda c: c[: HEAD - 1],
    "no chunk": lambda c: c[:HEAD],
    "one chunk": lambda c: c[: HEAD + CHUNK],
    "cut in a chunk": lambda c: c[: HEAD + CHUNK + 100],
    "chunks swapped": lambda c: b"".join(
        [
            c[:HEAD],
            c[HEAD + CHUNK : HEAD + 2 * CHUNK],
            c[HEAD : HEAD + CHUNK],
            c[HEAD + 2 * CHUNK :],
        ]
    ),
    "chunk twice": lambda c: c[: HEAD + CHUNK] + c[HEAD:],
    "last chunk twice": lambda c: c + c[HEAD + 2 * CHUNK :],
    "one byte more": lambda c: c + b"\0",
    "salt": lambda c: bytes([c[0] ^ 1]) + c[1:],
    "commitment": lambda c: c[:30] + bytes([c[30] ^ 1]) + c[31:],
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_broken_payload(
    payload: tuple[bytes, bytes, bytes, bytes], change: Callable[[bytes], bytes]
) -> None:
    sealed, key, context, plain = payload
    assert decrypt(sealed, key, context) == plain
    with pytest.raises(IntegrityError):
        decrypt(change(sealed), key, context)


def test_payload_of_another_place(payload: tuple[bytes, bytes, bytes, bytes]) -> None:
    sealed, key, context, _ = payload
    with pytest.raises(IntegrityError):
        decrypt(sealed, key, context.replace(b"encoder", b"decoder"))
    with pytest.raises(IntegrityError):
        decrypt(sealed, bytes(32), context)
