"""Keys: making, writing, reading, and telling what is wrong with one."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from asrpack.bundle import keys
from asrpack.bundle.keys import Kind, armour, public_pem, read_key
from asrpack.cli import main
from asrpack.errors import KeyFileError
from asrpack.protect.keys import generate, public_path, write_key_pair

PKCS8 = serialization.PrivateFormat.PKCS8
PEM = serialization.Encoding.PEM
MAKE = {
    "signing": lambda: generate("signing"),
    "x-wing": lambda: generate("recipient", "x-wing"),
    "x25519": lambda: generate("recipient", "x25519"),
    "watermark": lambda: generate("watermark"),
}


@pytest.mark.parametrize("kind", ["signing", "x-wing", "x25519"])
def test_both_halves_have_one_id(kind: str, tmp_path: Path) -> None:
    key, public = write_key_pair(MAKE[kind](), tmp_path / "k.pem")
    assert public == tmp_path / "k.pub"
    private_read = read_key((tmp_path / "k.pem").read_bytes(), "k.pem")
    public_read = read_key(public.read_bytes(), "k.pub")
    assert private_read.private and not public_read.private
    assert key.fingerprint == private_read.fingerprint == public_read.fingerprint
    assert public_pem(private_read) == public.read_bytes()
    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k.pem", "k.pub"]


def test_keys_differ_each_time() -> None:
    for make in MAKE.values():
        assert make() != make()


def test_a_watermark_key_has_no_public_half(tmp_path: Path) -> None:
    key, public = write_key_pair(generate("watermark"), tmp_path / "mark")
    assert public is None and key.private
    text = (tmp_path / "mark").read_bytes()
    assert len(keys.watermark_key(text, "mark")) == 32
    with pytest.raises(ValueError, match="no public half"):
        public_pem(key)


def test_xwing_is_the_published_one() -> None:
    """First test vector of draft-connolly-cfrg-xwing-kem (its public key, by both ends)."""
    seed = bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    key = read_key(armour(keys.XWING_PRIVATE, seed), "vector")
    assert key.public_bytes.hex().startswith(
        "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5"
    )
    assert key.public_bytes.hex().endswith("23593d4ba32d9abac8cd049040ef6534")


@pytest.mark.parametrize(
    ("private", "public"),
    [("vendor.pem", "vendor.pub"), ("customer.key", "customer.pub"), ("mark", "mark.pub")],
)
def test_name_of_the_public_half(private: str, public: str) -> None:
    assert public_path(Path("keys") / private) == Path("keys") / public


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_key_pair(generate("signing"), tmp_path / "k.pem")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("k.pem", "k.key"):  # k.key has the same public half
        with pytest.raises(KeyFileError) as error:
            write_key_pair(generate("signing"), tmp_path / name)
        assert error.value.code == "key-exists"
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    write_key_pair(generate("signing"), tmp_path / "k.pem", force=True)
    assert all(path.read_bytes() != data for path, data in before.items())


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "k.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError):
        write_key_pair(generate("watermark"), tmp_path / "k.pem")
    assert not (tmp_path / "elsewhere").exists()


def test_a_private_key_is_not_named_pub(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as error:
        write_key_pair(generate("signing"), tmp_path / "k.pub")
    assert error.value.code == "key-name"


def test_an_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError) as error:
        write_key_pair(generate("signing"), tmp_path / "file" / "k.pem")
    assert error.value.code in ("key-unwritable", "key-exists")


@pytest.mark.parametrize(
    ("given", "private", "wanted"),
    [
        ("signing", False, keys.recipient_public),
        ("signing", True, keys.recipient_private),
        ("x-wing", False, keys.signing_public),
        ("x25519", True, keys.signing_private),
        ("watermark", True, keys.signing_private),
        ("signing", True, keys.watermark_key),
    ],
)
def test_wrong_kind(given: str, private: bool, wanted: object) -> None:
    text = MAKE[given]()
    data = text if private else public_pem(read_key(text, "k"))
    with pytest.raises(KeyFileError) as error:
        wanted(data, "k.pem")  # type: ignore[operator]
    assert error.value.code == "key-wrong-kind"
    assert error.value.exit_code == 7
    kind: Kind = "recipient" if given.startswith("x") else given  # type: ignore[assignment]
    assert f"this is a {kind} key" in error.value.message
    assert error.value.remedy


def test_wrong_half() -> None:
    for make, private, public in (
        (MAKE["signing"], keys.signing_private, keys.signing_public),
        (MAKE["x-wing"], keys.recipient_private, keys.recipient_public),
        (MAKE["x25519"], keys.recipient_private, keys.recipient_public),
    ):
        text = make()
        with pytest.raises(KeyFileError, match="the private half"):
            public(text, "k")
        with pytest.raises(KeyFileError, match="the public half"):
            private(public_pem(read_key(text, "k")), "k")


def _pem(private: object, encryption: serialization.KeySerializationEncryption) -> bytes:
    return private.private_bytes(PEM, PKCS8, encryption)  # type: ignore[attr-defined]


PLAIN = serialization.NoEncryption()
LOCKED = serialization.BestAvailableEncryption(b"passphrase")
BROKEN = {
    "empty": (b"", "key-empty"),
    "blank": (b" \n", "key-empty"),
    "text": (b"hello", "key-format"),
    "binary": (bytes(range(256)), "key-format"),
    "no end": (generate("signing")[:-40], "key-truncated"),
    "cut inside": (generate("signing")[:100] + b"\n-----END PRIVATE KEY-----\n", "key-format"),
    "label without body": (b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "key-format"),
    "short seed": (armour(keys.XWING_PRIVATE, bytes(31)), "key-format"),
    "short X-Wing public key": (armour(keys.XWING_PUBLIC, bytes(1215)), "key-format"),
    "impossible X-Wing public key": (armour(keys.XWING_PUBLIC, b"\xff" * 1216), "key-format"),
    "short watermark key": (armour(keys.WATERMARK, bytes(16)), "key-format"),
    "two keys": (generate("signing") * 2, "key-several"),
    "passphrase": (_pem(ec.generate_private_key(ec.SECP256R1()), LOCKED), "key-encrypted"),
    "P-521": (_pem(ec.generate_private_key(ec.SECP521R1()), PLAIN), "key-format"),
    "Ed25519": (_pem(ed25519.Ed25519PrivateKey.generate(), PLAIN), "key-format"),
    "RSA": (_pem(rsa.generate_private_key(65537, 2048), PLAIN), "key-format"),
    "certificate": (armour("CERTIFICATE", b"x"), "key-format"),
}


@pytest.mark.parametrize(("data", "code"), BROKEN.values(), ids=BROKEN)
def test_broken(data: bytes, code: str) -> None:
    with pytest.raises(KeyFileError) as error:
        read_key(data, "keys/vendor.pem")
    assert error.value.code == code
    assert error.value.place == "keys/vendor.pem"
    assert error.value.remedy
    body = b"".join(data.split(b"\n")[1:-2]).decode("latin-1")
    assert not body or body[:20] not in str(error.value)


def test_keys_of_openssl(tmp_path: Path) -> None:
    """Keys from elsewhere: openssl's own forms, with Windows line ends too."""
    made = tmp_path / "sec1.pem"
    command = ["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    key = keys.signing_private(made.read_bytes(), "sec1.pem")
    assert key.algorithm == "ecdsa-p384"
    crlf = made.read_bytes().replace(b"\n", b"\r\n")
    assert keys.signing_private(crlf, "crlf").fingerprint == key.fingerprint
    done = subprocess.run(
        ["openssl", "pkey", "-pubin", "-outform", "DER"],
        input=public_pem(key),
        check=True,
        capture_output=True,
    )
    assert hashlib.sha256(done.stdout).hexdigest() == key.fingerprint


def test_a_key_does_not_show_itself() -> None:
    for make in MAKE.values():
        key = read_key(make(), "k")
        assert "handle" not in repr(key)


@pytest.mark.parametrize("kind", ["signing", "recipient", "watermark"])
def test_command_line(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "k.key"
    assert main(["keys", "generate", kind, "-o", str(path), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["private_key"] == str(path)
    assert main(["keys", "show", str(path), "--json"]) == 0
    output = capsys.readouterr().out
    shown = json.loads(output)
    assert (shown["kind"], shown["half"], shown["id"]) == (kind, "private", made["id"])
    for line in path.read_text().splitlines()[1:-1]:
        assert line not in output
    if made["public_key"]:
        assert main(["keys", "show", made["public_key"]]) == 0
        text = capsys.readouterr().out
        assert "public" in text and made["id"] in text
    assert main(["keys", "generate", kind, "-o", str(path)]) == 7
    assert "--force" in capsys.readouterr().err
    assert main(["keys", "generate", kind, "-o", str(path), "--force"]) == 0


def test_command_line_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "show", str(tmp_path / "none")]) == 7
    assert main(["keys", "generate", "nonsense", "-o", str(tmp_path / "k")]) == 2
    assert main(["keys", "generate", "signing"]) == 2
    assert "Traceback" not in capsys.readouterr().err
