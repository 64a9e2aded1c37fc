"""Sources of keys: passphrases, plug-ins, and references that only their owner may resolve."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asrpack.bundle.keys import (
    private_key,
    read_key,
    recipient_private,
    recipient_public,
    signing_private,
    watermark_key,
)
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import AsrpackError, KeyFileError, ToolchainError
from asrpack.protect.keys import generate, write_key_pair

PROVIDER = """
from pathlib import Path
from asrpack.bundle.keys import read_key
def open_key(reference):
    return read_key(Path(reference.removeprefix("vault:")).read_bytes(), reference)
def fails(reference):
    raise RuntimeError("the secret is hunter2")
def gives_nothing(reference):
    return b"bytes"
"""


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a package whose entry point ``vault`` is the named function."""

    def install(target: str) -> None:
        folder = tmp_path / "site"
        (folder / "vault-1.dist-info").mkdir(parents=True)
        (folder / "vault_plug_in.py").write_text(PROVIDER)
        (folder / "vault-1.dist-info" / "METADATA").write_text("Name: vault\nVersion: 1\n")
        (folder / "vault-1.dist-info" / "entry_points.txt").write_text(
            f"[asrpack.keys]\nvault = {target}\n"
        )
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "vault_plug_in", raising=False)

    return install


def test_a_plug_in_gives_every_kind_of_key(plug_in: Callable[[str], None], tmp_path: Path) -> None:
    plug_in("vault_plug_in:open_key")
    for kind, read in (
        ("signing", signing_private),
        ("recipient", recipient_private),
        ("watermark", watermark_key),
    ):
        expected, _ = write_key_pair(generate(kind), tmp_path / f"{kind}.pem")
        source = SecretSource.parse(f"vault:{tmp_path}/{kind}.pem")
        assert source.kind == "uri"
        # As bytes, too, it is a reference: nothing secret goes around.
        assert b"PRIVATE" not in source.read()
        key = read(source.read(), str(source))
        assert (
            key == expected.handle
            if kind == "watermark"
            else (key.fingerprint == expected.fingerprint)
        )


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("vault_plug_in:fails", "key-provider"),
        ("vault_plug_in:gives_nothing", "key-provider"),
        ("vault_plug_in:missing", "key-provider-missing"),
        ("no_such_module:open_key", "key-provider-missing"),
    ],
)
def test_a_plug_in_that_fails(plug_in: Callable[[str], None], target: str, code: str) -> None:
    plug_in(target)
    source = SecretSource.parse("vault:x")
    with pytest.raises(AsrpackError) as error:
        signing_private(source.read(), str(source))
    assert error.value.code == code
    assert isinstance(error.value, ToolchainError if code.endswith("missing") else KeyFileError)
    assert "hunter2" not in str(error.value)


def test_a_colon_alone_makes_no_reference() -> None:
    assert SecretSource.parse("vault:x").kind == "file"
    assert SecretSource.parse("/keys/a:b.pem").kind == "file"


def test_what_others_give_is_not_resolved(tmp_path: Path) -> None:
    """A customer's public key that is a reference must not run the vendor's providers."""
    for text in ("pkcs11:object=x?module-path=/tmp/evil.so", "passphrase:env:HOME"):
        data = SecretSource.parse(text).read()
        for read in (recipient_public, read_key):
            with pytest.raises(KeyFileError) as error:
                read(data, "customer.pub")
            assert error.value.code == "key-wrong-half"


def test_a_reference_to_nothing_known() -> None:
    data = b"-----BEGIN ASRPACK KEY REFERENCE-----\nbm9uZTp4\n-----END ASRPACK KEY REFERENCE-----\n"
    with pytest.raises(KeyFileError) as error:
        private_key(data, "key.pem")
    assert (error.value.code, error.value.place) == ("key-provider-unknown", "none:x")


@pytest.mark.parametrize("body", ["####", "/w==", "", "AAAA"])
def test_a_reference_that_is_damaged(body: str) -> None:
    label = "ASRPACK KEY REFERENCE"
    with pytest.raises(KeyFileError) as error:
        private_key(f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode(), "k")
    assert error.value.code == "key-format"


def passphrase(text: bytes, tmp_path: Path) -> bytes:
    (tmp_path / "phrase").write_bytes(text)
    source = SecretSource.parse(f"passphrase:{tmp_path / 'phrase'}")
    return recipient_private(source.read(), str(source)).handle


def test_a_passphrase_is_the_same_however_it_is_typed(tmp_path: Path) -> None:
    expected = "Übergrößenträger".encode()
    for text in (expected, expected + b"\n", expected + b"\r\n"):
        assert passphrase(text, tmp_path) == expected
    # U and a combining diaeresis, as some keyboards give it.
    assert passphrase(b"U\xcc\x88" + expected[2:], tmp_path) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"two\nlines", "passphrase-format"),
        (b"\xff\xfe", "passphrase-format"),
        (b"x" * 1025, "passphrase-format"),
        (b"\n", "key-empty"),
    ],
)
def test_what_is_no_passphrase(text: bytes, code: str, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as error:
        passphrase(text, tmp_path)
    assert error.value.code == code
    assert error.value.exit_code == 7


def test_a_passphrase_is_no_signing_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRASE", "correct horse battery")
    source = SecretSource.parse("passphrase:env:PHRASE")
    assert "horse" not in repr(recipient_private(source.read(), str(source))) + str(source)
    with pytest.raises(KeyFileError) as error:
        signing_private(source.read(), str(source))
    assert error.value.code == "key-wrong-kind"
    with pytest.raises(KeyFileError) as error:
        SecretSource.parse("passphrase:passphrase:x").read()
    assert error.value.code == "passphrase-source"
