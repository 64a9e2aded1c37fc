"""Keys in a token: they sign and open bundles, and never leave it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from asrpack.bundle.envelope import Envelope, open_envelope
from asrpack.bundle.keys import (
    Key,
    public_pem,
    recipient_private,
    recipient_public,
    signing_private,
    signing_public,
)
from asrpack.bundle.opening import check_bundle, open_sealed
from asrpack.bundle.secrets import SecretSource
from asrpack.cli import main
from asrpack.errors import AsrpackError, KeyFileError, ToolchainError
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.sign import sign_tree
from asrpack.stages.encrypt import Encrypt
from asrpack.stages.seal import Seal
from asrpack.stages.stage import Context
from tests.hostile.bundles import PLAINTEXTS, SealedBundle, metadata
from tests.softhsm import PIN, softhsm, uri

__all__ = ["softhsm"]


def key(name: str, query: str = "pin-source=env:TOKEN_PIN") -> Key:
    source = SecretSource.parse(uri(name, query))
    read = recipient_private if name == "x25519" else signing_private
    return read(source.read(), str(source))


@pytest.mark.parametrize("curve", ["p256", "p384"])
def test_a_bundle_signed_and_opened_by_tokens(
    softhsm: Path, sealed_bundle: SealedBundle, curve: str
) -> None:
    vendor, customer = key(curve), key("x25519")
    public = recipient_public(public_pem(customer), "x25519.pub")
    model = sealed_bundle.path / "model"
    envelope = encrypt_files(dict(PLAINTEXTS), [public], vendor.public_bytes, model)
    (sealed_bundle.path / "asrpack.json").write_bytes(metadata(envelope).to_json())
    sign_tree(sealed_bundle.path, vendor, "x")
    trust = public_pem(vendor)
    assert signing_public(trust, "vendor.pub").algorithm == f"ecdsa-{curve}"
    assert check_bundle(sealed_bundle.path, [trust]).signer.fingerprint == vendor.fingerprint
    assert open_sealed(sealed_bundle.path, customer, [trust]).files == PLAINTEXTS


def test_the_verbs_and_stages_take_a_token(
    softhsm: Path, sealed_bundle: SealedBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """Public halves written, a bundle made for one and signed by the other, opened and resigned."""
    folder, bundle = sealed_bundle.folder, sealed_bundle.path
    for name in ("p256", "p384", "x25519"):
        assert main(["keys", "public", uri(name), "-o", str(folder / f"{name}.pub")]) == 0
    params = Encrypt.Params(
        recipients=((folder / "x25519.pub").read_text(), (folder / "old.pub").read_text()),
        signer=(folder / "p384.pub").read_text(),
    )
    (folder / "graphs").mkdir()
    inputs = {"graphs": folder / "graphs", "description": bundle / "README.md"}
    (folder / "out").mkdir()
    Encrypt().run(params, inputs, folder / "out", Context())
    envelope = Envelope.from_json((folder / "out/model/envelope.json").read_bytes())
    shutil.rmtree(bundle / "model")
    (bundle / "model.sig").unlink()
    (bundle / "asrpack.json").write_bytes(metadata(envelope).to_json())
    secret = SecretSource("uri", uri("p384")).read()
    (folder / "sealed").mkdir()
    Seal().run(
        Seal.Params(),
        {"tree": bundle, "model": folder / "out" / "model"},
        folder / "sealed",
        Context(secrets={"key": secret}),
    )
    sealed = str(folder / "sealed" / "bundle")
    assert main(["verify", sealed, "--trust", str(folder / "p384.pub")]) == 0
    resign = ["resign", sealed, "--trust", str(folder / "p384.pub"), "--sign", uri("p256")]
    recipients = [f"--recipient={folder}/{name}.pub" for name in ("x25519", "old")]
    assert main([*resign, *recipients, "--identity", uri("x25519")]) == 0
    assert main(["verify", sealed, "--trust", str(folder / "p256.pub")]) == 0
    trust = (folder / "p256.pub").read_bytes()
    opened = open_sealed(Path(sealed), key("x25519"), [trust])
    assert opened.files == {"model.json": (bundle / "README.md").read_bytes()}
    assert PIN not in "".join(capsys.readouterr())


def test_the_keys_do_not_leave(softhsm: Path) -> None:
    for name in ("p256", "x25519"):
        handle = key(name).handle
        with pytest.raises(KeyFileError) as error:
            handle.private_bytes(None, None, None)
        assert error.value.code == "pkcs11-key-stays"


def test_a_low_order_point_is_refused(softhsm: Path) -> None:
    handle = key("x25519").handle
    with pytest.raises((ValueError, KeyFileError)):
        handle.exchange(x25519.X25519PublicKey.from_public_bytes(bytes(32)))


def test_another_token_is_no_recipient(softhsm: Path, master_bundle: SealedBundle) -> None:
    with pytest.raises(KeyFileError) as error:
        open_envelope((master_bundle.path / "model/envelope.json").read_bytes(), key("x25519"))
    assert error.value.code == "identity-not-recipient"


def test_pin_from_a_file_and_key_by_id(softhsm: Path, tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_text(PIN + "\n")
    by_label = key("p256", f"pin-source=file:{file}")
    source = SecretSource.parse(f"pkcs11:id=%70256?pin-source={file}&module-path={softhsm}")
    assert signing_private(source.read(), str(source)).fingerprint == by_label.fingerprint


def test_after_a_fork(softhsm: Path) -> None:
    """A library's state does not survive a fork; a key read again in the child works."""
    expected, inherited = key("p256").fingerprint, key("p256")
    child = os.fork()
    if child == 0:
        try:
            refused = False
            try:
                inherited.handle.sign(b"x", ec.ECDSA(hashes.SHA256()))
            except KeyFileError as error:
                refused = error.code == "pkcs11-fork"
            os._exit(0 if refused and key("p256").fingerprint == expected else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


REFUSED = {
    "pkcs11:token=vendor%27s%20token;object=p256?pin-value=1234": "pkcs11-pin-in-uri",
    "pkcs11:token=vendor%27s%20token;colour=red": "pkcs11-uri",
    "pkcs11:token=vendor%27s%20token;token=x": "pkcs11-uri",
    "pkcs11:token=": "pkcs11-uri",
    uri("none"): "pkcs11-key",
    uri("p256", "pin-source=env:NO_SUCH_VARIABLE"): "pkcs11-pin",
    uri("p256", "pin-source=/no/such/file"): "pkcs11-pin",
    "pkcs11:token=another;object=p256?pin-source=env:TOKEN_PIN": "pkcs11-token",
    "pkcs11:serial=0;object=p256?pin-source=env:TOKEN_PIN": "pkcs11-token",
    uri("p256", "pin-source=env:TOKEN_PIN&module-path=/no/such.so"): "pkcs11-module",
}


@pytest.mark.parametrize(("reference", "code"), REFUSED.items(), ids=REFUSED.values())
def test_refused(softhsm: Path, reference: str, code: str) -> None:
    source = SecretSource.parse(reference)
    with pytest.raises(AsrpackError) as error:
        signing_private(source.read(), str(source))
    assert error.value.code == code
    assert isinstance(error.value, ToolchainError if code == "pkcs11-module" else KeyFileError)
    assert "1234" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "code"), [("pin-source=env:WRONG_PIN", "pkcs11-pin"), ("", "pkcs11-key")]
)
def test_no_login_no_key(softhsm: Path, query: str, code: str) -> None:
    """In a process of its own: a login is its process's."""
    program = """
import sys
from asrpack.bundle.key_providers import open_reference
from asrpack.errors import KeyFileError
try:
    open_reference(sys.argv[1])
except KeyFileError as error:
    print(error.code, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, uri("p256", query)],
        env={**os.environ, "WRONG_PIN": "0000"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split()[0] == code, done.stderr
    assert "0000" not in done.stdout


def test_a_key_of_the_other_kind(softhsm: Path) -> None:
    source = SecretSource.parse(uri("p256"))
    with pytest.raises(KeyFileError) as error:
        recipient_private(source.read(), str(source))
    assert error.value.code == "key-wrong-kind"


def test_without_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pkcs11")
    monkeypatch.delenv("PKCS11_MODULE_PATH", raising=False)
    source = SecretSource.parse("pkcs11:object=x")
    with pytest.raises(KeyFileError) as error:
        signing_private(source.read(), str(source))
    assert error.value.code == "pkcs11-module"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    source = SecretSource.parse("pkcs11:object=x")
    with pytest.raises(ToolchainError) as error:
        signing_private(source.read(), str(source))
    assert error.value.code == "package-missing"
