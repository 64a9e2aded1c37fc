"""OpenSSF Model Signing in both directions: theirs of ours, ours of theirs."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from asrpack.bundle.keys import Key, public_pem, signing_private
from asrpack.bundle.verify import (
    FormatError,
    canonical_json,
    load_trusted_key,
    pae,
    read_signature,
    read_statement,
    root_digest,
)
from asrpack.protect.keys import Curve, generate
from asrpack.protect.sign import envelope
from tests.oms import adapter

FILES = {
    "a": b"a\n",
    "empty": b"",
    "binary": bytes(range(256)),
    ".hidden/b": b"b\n",
    "d/模型 (copy).bin": b"c\n",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture(params=["p256", "p384"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> Key:
    curve: Curve = request.param
    (tmp_path / "key.pem").write_bytes(generate("signing", curve=curve))
    key = signing_private((tmp_path / "key.pem").read_bytes(), "key.pem")
    (tmp_path / "key.pub").write_bytes(public_pem(key))
    return key


def model_signing(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def theirs_verifies(model: Path) -> bool:
    folder = model.parent
    done = model_signing(
        "verify", "key", model, "--signature", folder / "model.sig",
        "--public_key", folder / "key.pub",
    )  # fmt: skip
    return done.returncode == 0


def ours(verb: str, model: Path, *words: str | Path) -> int:
    return adapter.main([verb, "--method", "key", "--model-path", str(model), *map(str, words)])


def sign(model: Path) -> None:
    folder = model.parent
    words = ("--private-key", folder / "key.pem", "--output-bundle", folder / "model.sig")
    assert ours("sign-model", model, *words) == 0


def verify(model: Path, public: str = "key.pub") -> int:
    folder = model.parent
    words = ("--public-key", folder / public, "--bundle", folder / "model.sig")
    return ours("verify-model", model, *words)


def test_they_accept_ours(model: Path, key: Key) -> None:
    sign(model)
    assert verify(model) == 0
    assert theirs_verifies(model)
    payload, _, _ = read_signature((model.parent / "model.sig").read_bytes())
    assert set(read_statement(payload)) == set(FILES)


@pytest.mark.parametrize("change", ["changed", "missing", "extra", "link", "another key"])
def test_both_refuse_what_was_changed(
    model: Path, key: Key, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(model)
    if change == "changed":
        (model / "a").write_bytes(b"b\n")
    elif change == "missing":
        (model / "a").unlink()
    elif change == "extra":
        (model / "more").write_bytes(b"")
    elif change == "link":
        (model / "a").unlink()
        (model / "a").symlink_to("binary")
    else:
        other = signing_private(generate("signing"), "other")
        (model.parent / "key.pub").write_bytes(public_pem(other))
    assert verify(model) == 1
    assert not theirs_verifies(model)


def test_ours_reads_their_signature(model: Path, key: Key) -> None:
    """Key, encoding, statement, digests, root digest: all but the form that bundles must have."""
    folder = model.parent
    done = model_signing(
        "sign", "key", model, "--private_key", folder / "key.pem",
        "--signature", folder / "model.sig",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = (folder / "model.sig").read_bytes()
    # A bundle's JSON has one form only; theirs has its fields in another order, and is indented.
    with pytest.raises(FormatError) as refused:
        read_signature(data)
    assert refused.value.code == "json-not-canonical"
    payload, signature, hint = read_signature(canonical_json(json.loads(data)))
    trusted = load_trusted_key(public_pem(key))
    assert hint == trusted.hint
    trusted.verify(signature, pae(payload))
    # They list paths that were passed over; in a bundle nothing is.
    with pytest.raises(FormatError) as refused:
        read_statement(payload)
    assert refused.value.code == "manifest-serialization"
    statement = json.loads(payload)
    assert statement["predicate"]["serialization"].pop("ignore_paths")
    digests = read_statement(canonical_json(statement))
    assert digests == {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    assert statement["subject"][0]["digest"]["sha256"] == root_digest(digests)


def test_they_verify_our_signature_over_their_statement(model: Path, key: Key) -> None:
    """Ours in place of theirs, over the very bytes that they signed."""
    folder = model.parent
    model_signing(
        "sign", "key", model, "--private_key", folder / "key.pem",
        "--signature", folder / "model.sig",
    )  # fmt: skip
    raw = json.loads((folder / "model.sig").read_bytes())
    payload = base64.b64decode(raw["dsseEnvelope"]["payload"])
    (folder / "model.sig").write_bytes(canonical_json(envelope(payload, key.handle)))
    assert theirs_verifies(model)


def test_an_empty_model_and_another_method_are_refused(
    tmp_path: Path, key: Key, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    words = ["--private-key", str(tmp_path / "key.pem"), "--output-bundle", str(tmp_path / "s")]
    assert ours("sign-model", tmp_path / "none", *words) == 1
    assert not (tmp_path / "s").exists()
    arguments = ["sign-model", "--method", "sigstore", "--model-path", str(tmp_path)]
    assert adapter.main(arguments) == 2
