"""Passphrases of an envelope: who opens it, and what is refused before memory is taken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle import passphrase
from asrpack.bundle.envelope import Envelope, open_envelope
from asrpack.bundle.keys import Key, recipient_private, recipient_public
from asrpack.bundle.verify import canonical_json
from asrpack.errors import IntegrityError, KeyFileError
from asrpack.protect.encrypt import encrypt_files
from tests.hostile.bundles import SealedBundle


def phrase(text: str) -> Key:
    return Key("recipient", "argon2id", True, b"", text.encode())


@pytest.fixture(scope="module")
def sealed(
    master_bundle: SealedBundle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, bytes]:
    """An envelope for a key and two passphrases, and the one data key in it."""
    out = tmp_path_factory.mktemp("envelope")
    public = recipient_public(master_bundle.bytes_of("customer.pub"), "customer.pub")
    recipients = [public, phrase("correct horse battery"), phrase("staple correct horse")]
    data = encrypt_files({"model.json": b"{}"}, recipients, b"signer", out).to_json()
    private = recipient_private(master_bundle.bytes_of("customer.key"), "customer.key")
    return data, open_envelope(data, private)["model.json"]


@pytest.mark.parametrize("text", ["correct horse battery", "staple correct horse"])
def test_each_passphrase_opens_it(sealed: tuple[bytes, bytes], text: str) -> None:
    data, key = sealed
    assert open_envelope(data, phrase(text)) == {"model.json": key}
    assert text.encode() not in data


def test_another_passphrase(sealed: tuple[bytes, bytes]) -> None:
    with pytest.raises(KeyFileError) as error:
        open_envelope(sealed[0], phrase("correct horse batterz"))
    assert error.value.code == "passphrase-wrong"
    assert error.value.exit_code == 7


def test_it_is_bound_to_the_header(sealed: tuple[bytes, bytes]) -> None:
    raw = json.loads(sealed[0])
    raw["header"]["signer"] = "AAAA"
    with pytest.raises(KeyFileError):
        open_envelope(canonical_json(raw), phrase("correct horse battery"))


def test_a_bundle_without_passphrases(master_bundle: SealedBundle) -> None:
    data = (master_bundle.path / "model" / "envelope.json").read_bytes()
    with pytest.raises(KeyFileError) as error:
        open_envelope(data, phrase("correct horse battery"))
    assert error.value.code == "identity-not-recipient"


@pytest.mark.parametrize(
    ("phrases", "code"),
    [
        (["short"], "passphrase-short"),
        (["correct horse battery"] * 2, "recipients-duplicate"),
        (["correct horse battery " + c for c in "abc"], "recipients-count"),
    ],
)
def test_not_written(phrases: list[str], code: str, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as error:
        encrypt_files({"model.json": b""}, [phrase(p) for p in phrases], b"signer", tmp_path)
    assert error.value.code == code
    assert not list(tmp_path.iterdir())


def _change(**fields: Any) -> Callable[[list[dict[str, Any]]], None]:
    def act(stanzas: list[dict[str, Any]]) -> None:
        next(item for item in stanzas if item["kem"] == "argon2id").update(fields)

    return act


def _drop(field: str) -> Callable[[list[dict[str, Any]]], None]:
    def act(stanzas: list[dict[str, Any]]) -> None:
        del next(item for item in stanzas if item["kem"] == "argon2id")[field]

    return act


def _three(stanzas: list[dict[str, Any]]) -> None:
    mine = next(item for item in stanzas if item["kem"] == "argon2id")
    stanzas.append({**mine, "kid": "f" * 64})
    stanzas.sort(key=lambda item: item["kid"])


def _cost_on_a_key(stanzas: list[dict[str, Any]]) -> None:
    next(item for item in stanzas if item["kem"] == "x-wing")["memory"] = 1 << 18


REFUSED: dict[str, tuple[Callable[[list[dict[str, Any]]], None], str]] = {
    "memory 2^32": (_change(memory=1 << 32), "envelope-passphrase-cost"),
    "memory of 4 GiB": (_change(memory=4 << 20), "envelope-passphrase-cost"),
    "memory too little": (_change(memory=(64 << 10) - 1), "envelope-passphrase-cost"),
    "memory negative": (_change(memory=-(1 << 18)), "envelope-passphrase-cost"),
    "memory zero": (_change(memory=0), "envelope-passphrase-cost"),
    "passes 2^31": (_change(passes=1 << 31), "envelope-passphrase-cost"),
    "one pass": (_change(passes=1), "envelope-passphrase-cost"),
    "lanes 2^24": (_change(lanes=1 << 24), "envelope-passphrase-cost"),
    "no lanes": (_change(lanes=0), "envelope-passphrase-cost"),
    "memory as text": (_change(memory="262144"), "envelope-recipients"),
    "passes true": (_change(passes=True), "envelope-recipients"),
    "no lanes given": (_drop("lanes"), "envelope-recipients"),
    "a field more": (_change(salt="00"), "envelope-recipients"),
    "salt short": (_change(kid="00" * 16), "envelope-recipients"),
    "KEM as a number": (_change(kem=1), "envelope-algorithm"),
    "KEM as a list": (_change(kem=["x25519"]), "envelope-algorithm"),
    "no KEM": (_drop("kem"), "envelope-algorithm"),
    "scrypt": (_change(kem="scrypt"), "envelope-algorithm"),
    "Argon2d": (_change(kem="argon2d"), "envelope-algorithm"),
    "called X25519": (_change(kem="x25519"), "envelope-recipients"),
    "wrapped for HPKE": (_change(wrapped="AAAA"), "envelope-recipients"),
    "three passphrases": (_three, "envelope-recipients"),
    "a cost on a key": (_cost_on_a_key, "envelope-recipients"),
}


@pytest.mark.parametrize(("act", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(
    sealed: tuple[bytes, bytes],
    act: Callable[[Any], None],
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing_is_derived(*_: object) -> bytes:
        raise AssertionError("Argon2id ran")

    monkeypatch.setattr(passphrase, "_derive", nothing_is_derived)
    raw = json.loads(sealed[0])
    act(raw["recipients"])
    with pytest.raises(IntegrityError) as error:
        open_envelope(canonical_json(raw), phrase("correct horse battery"))
    assert error.value.code == code


@pytest.mark.parametrize("end", ["salt", "commitment", "body", "tag"])
def test_a_changed_entry_opens_for_nobody(sealed: tuple[bytes, bytes], end: str) -> None:
    envelope = Envelope.from_json(sealed[0])
    mine = next(item for item in envelope.recipients if item.cost)
    place = {"salt": 0, "commitment": 24, "body": 56, "tag": -1}[end]
    broken = bytearray(mine.wrapped)
    broken[place] ^= 1
    for text in ("correct horse battery", "staple correct horse"):
        assert (
            passphrase.unwrap(
                bytes(broken),
                text.encode(),
                bytes.fromhex(mine.kid),
                mine.cost or passphrase.DEFAULT_COST,
                envelope.header.info,
            )
            is None
        )


def test_no_memory_for_it(sealed: tuple[bytes, bytes], tmp_path: Path) -> None:
    """An error with a remedy, in a process that may take 200 MB."""
    (tmp_path / "envelope.json").write_bytes(sealed[0])
    code = f"""
import resource, sys
from pathlib import Path
from asrpack.bundle.envelope import open_envelope
from asrpack.bundle.keys import Key
from asrpack.errors import ToolchainError
resource.setrlimit(resource.RLIMIT_AS, ({200 << 20}, {200 << 20}))
try:
    open_envelope(Path(sys.argv[1]).read_bytes(), Key("recipient", "argon2id", True, b"", b"x"))
except ToolchainError as error:
    sys.exit(0 if error.code == "passphrase-memory" else 1)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "envelope.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
