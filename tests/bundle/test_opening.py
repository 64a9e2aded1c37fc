"""Opening a sealed bundle: the safe order, with and without a pinned key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle import opening
from asrpack.bundle.envelope import Envelope
from asrpack.bundle.keys import recipient_private, recipient_public, signing_private
from asrpack.bundle.opening import check_bundle, open_sealed
from asrpack.errors import ErrorGroup, InputError, IntegrityError, KeyFileError
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.sign import sign_tree
from tests.hostile.bundles import PLAINTEXTS, SealedBundle, make_bundle, metadata


@pytest.mark.parametrize("name", ["customer.key", "old.key"])
@pytest.mark.parametrize("pinned", [True, False])
def test_opens(master_bundle: SealedBundle, name: str, pinned: bool) -> None:
    identity = recipient_private(master_bundle.bytes_of(name), name)
    trust = [master_bundle.bytes_of("vendor.pub")] if pinned else []
    opened = open_sealed(master_bundle.path, identity, trust)
    assert opened.files == PLAINTEXTS
    assert opened.metadata.name == "digits"
    assert "the decoder" not in repr(opened)


def test_the_key_of_engines_is_the_recipients_and_the_bundles(
    master_bundle: SealedBundle, tmp_path: Path
) -> None:
    def key(bundle: SealedBundle, name: str) -> bytes:
        return open_sealed(bundle.path, recipient_private(bundle.bytes_of(name), name)).engine_key

    both = {key(master_bundle, name) for name in ("customer.key", "old.key")}
    assert len(both) == 1 and len(both.pop()) == 32
    assert key(master_bundle, "old.key") != key(make_bundle(tmp_path / "other"), "old.key")


def test_a_bundle_for_another_customer(master_bundle: SealedBundle) -> None:
    stranger = recipient_private(master_bundle.bytes_of("stranger.key"), "stranger.key")
    with pytest.raises(KeyFileError) as error:
        open_sealed(master_bundle.path, stranger)
    assert error.value.code == "identity-not-recipient"


def test_envelope_of_another_vendor_under_the_pinned_signature(
    sealed_bundle: SealedBundle, tmp_path: Path
) -> None:
    """The pinned vendor signed a tree whose keys somebody else wrapped for the recipient."""
    forger = make_bundle(tmp_path / "forger")
    customer = recipient_public(sealed_bundle.bytes_of("customer.pub"), "customer.pub")
    other = signing_private(forger.bytes_of("vendor.pem"), "vendor.pem")
    model = sealed_bundle.path / "model"
    envelope = encrypt_files(dict(PLAINTEXTS), [customer], other.public_bytes, model)
    (sealed_bundle.path / "asrpack.json").write_bytes(metadata(envelope).to_json())
    vendor = signing_private(sealed_bundle.bytes_of("vendor.pem"), "vendor.pem")
    sign_tree(sealed_bundle.path, vendor, "x")
    identity = recipient_private(sealed_bundle.bytes_of("customer.key"), "customer.key")
    with pytest.raises(IntegrityError) as error:
        open_sealed(sealed_bundle.path, identity, [sealed_bundle.bytes_of("vendor.pub")])
    assert error.value.code == "envelope-signer"


def test_metadata_of_another_bundle(sealed_bundle: SealedBundle, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other")
    shutil.copyfile(other.path / "asrpack.json", sealed_bundle.path / "asrpack.json")
    vendor = signing_private(sealed_bundle.bytes_of("vendor.pem"), "vendor.pem")
    sign_tree(sealed_bundle.path, vendor, "x")
    identity = recipient_private(sealed_bundle.bytes_of("customer.key"), "customer.key")
    with pytest.raises(IntegrityError) as error:
        open_sealed(sealed_bundle.path, identity)
    assert error.value.code == "envelope-bundle-id"


def test_ciphertexts_exchanged_by_the_signer(sealed_bundle: SealedBundle) -> None:
    """Even a signed exchange of two files does not decrypt: each is bound to its place."""
    model = sealed_bundle.path / "model"
    shutil.copyfile(model / "encoder.onnx.enc", model / "decoder.onnx.enc")
    vendor = signing_private(sealed_bundle.bytes_of("vendor.pem"), "vendor.pem")
    sign_tree(sealed_bundle.path, vendor, "x")
    identity = recipient_private(sealed_bundle.bytes_of("customer.key"), "customer.key")
    with pytest.raises(IntegrityError) as error:
        open_sealed(sealed_bundle.path, identity)
    assert error.value.code == "ciphertext"
    assert error.value.place == "model/decoder.onnx.enc"


def test_swap_between_verification_and_load(
    sealed_bundle: SealedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = opening.verify_bundle

    def verify_then_swap(*arguments: Any) -> object:
        verified = real(*arguments)
        root: Path = arguments[0]
        target = root / "model" / "encoder.onnx.enc"
        target.write_bytes(target.read_bytes()[:-1] + b"\0")
        return verified

    monkeypatch.setattr(opening, "verify_bundle", verify_then_swap)
    identity = recipient_private(sealed_bundle.bytes_of("customer.key"), "customer.key")
    with pytest.raises(IntegrityError) as error:
        open_sealed(sealed_bundle.path, identity, [sealed_bundle.bytes_of("vendor.pub")])
    assert error.value.code == "changed-file"


def test_nothing_in_the_clear_on_disk(master_bundle: SealedBundle) -> None:
    envelope = (master_bundle.path / "model" / "envelope.json").read_bytes()
    for path in master_bundle.path.rglob("*"):
        if path.is_file():
            assert PLAINTEXTS["decoder.onnx"][:11] not in path.read_bytes()
    assert set(json.loads(envelope)) == {"header", "recipients"}


def test_several_findings_are_a_group(sealed_bundle: SealedBundle) -> None:
    (sealed_bundle.path / "a").write_bytes(b"")
    (sealed_bundle.path / "b").write_bytes(b"")
    with pytest.raises(ErrorGroup) as group:
        check_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    assert group.value.exit_code == 6
    assert [item.place for item in group.value.errors] == ["a", "b"]


def test_no_bundle_there(sealed_bundle: SealedBundle) -> None:
    identity = recipient_private(sealed_bundle.bytes_of("customer.key"), "customer.key")
    with pytest.raises(InputError):
        open_sealed(sealed_bundle.path / "none", identity)
    with pytest.raises(InputError):
        check_bundle(sealed_bundle.path / "README.md", [sealed_bundle.bytes_of("vendor.pub")])
    with pytest.raises(KeyFileError):
        check_bundle(sealed_bundle.path, [b"no key"])


def test_recipients_of_the_envelope(master_bundle: SealedBundle) -> None:
    envelope = Envelope.from_json((master_bundle.path / "model" / "envelope.json").read_bytes())
    assert {item.kem for item in envelope.recipients} == {"x-wing", "x25519"}
