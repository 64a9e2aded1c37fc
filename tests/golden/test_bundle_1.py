"""A bundle of the first format, signed in 2026, still verifies, opens and decrypts.

``--update-golden`` does not touch it, and nothing ever may: customers' bundles do not change
either. Where it does not open any more, asrpack is what broke.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from asrpack.bundle.keys import recipient_private
from asrpack.bundle.licence import LockedBundle
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.plaintext import Plaintext
from asrpack.bundle.secrets import SecretSource
from asrpack.bundle.verify import verify_bundle
from asrpack.cli import main
from asrpack.errors import IntegrityError

GOLDEN = Path(__file__).parent / "bundle-1"
KEYS = GOLDEN / "keys"
EXPECTED = json.loads((GOLDEN / "expected.json").read_bytes())
DIGEST = "a55732692bd31ea226a78149974f57426568032c6ef26ba8084259b3ffefd338"
TRUST = [KEYS / "vendor.pub", GOLDEN / "policy.json"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with a bundle's modes, whatever those of this checkout are."""
    copy = tmp_path_factory.mktemp("golden") / "bundle"
    shutil.copytree(GOLDEN / "bundle", copy, copy_function=shutil.copyfile)
    return copy


def test_nobody_made_it_anew() -> None:
    files = sorted(path for path in GOLDEN.rglob("*") if path.is_file())
    lines = (
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(GOLDEN).as_posix()}\n"
        for path in files
    )
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == DIGEST


@pytest.mark.parametrize("trust", TRUST, ids=["the vendor's key", "a policy"])
def test_verifies(bundle: Path, trust: Path) -> None:
    verified = verify_bundle(bundle, [trust.read_bytes()])
    assert hashlib.sha256(verified.statement).hexdigest() == EXPECTED["statement"]
    assert {item.fingerprint for item in verified.signatures} == set(EXPECTED["signatures"])
    if trust.suffix == ".json":
        assert {item.role for item in verified.signatures} == {
            "signer",
            "post-quantum",
            "countersigner",
        }


@pytest.mark.parametrize("trust", TRUST, ids=["the vendor's key", "a policy"])
def test_verifies_on_the_command_line(bundle: Path, trust: Path) -> None:
    assert main(["verify", str(bundle), "--trust", str(trust)]) == 0


@pytest.mark.parametrize("trust", TRUST, ids=["the vendor's key", "a policy"])
def test_verifies_by_its_own_verifier(bundle: Path, trust: Path) -> None:
    command = [sys.executable, "-I", "-B", str(bundle / "verify.py"), "--trust", str(trust)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    (bundle.parent / "changed").mkdir(exist_ok=True)
    changed = shutil.copytree(bundle, bundle.parent / "changed" / trust.suffix)
    (changed / "README.md").write_text("changed")
    done = subprocess.run([*command[:4], str(changed), *command[4:]], capture_output=True)
    assert done.returncode == 6


@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("source", ["{}/x-wing.key", "{}/x25519.key", "passphrase:{}/passphrase"])
def test_opens(bundle: Path, source: str, pinned: bool) -> None:
    reference = SecretSource.parse(source.format(KEYS))
    identity = recipient_private(reference.read(), str(reference))
    trust = [(GOLDEN / "policy.json").read_bytes()] if pinned else []
    opened = open_sealed(bundle, identity, trust)
    assert opened.metadata.bundle_id == EXPECTED["bundle_id"]
    _check(opened.files)


def test_opens_with_its_licence(bundle: Path) -> None:
    identity = recipient_private((KEYS / "licensee.key").read_bytes(), "licensee.key")
    licence = (GOLDEN / "licence.json").read_bytes()

    def unlock(lock: LockedBundle) -> bytes:
        read, secret = lock.open(licence, "licence.json")
        assert read.terms.customer == "golden-customer" and read.terms.streams == 4
        return secret

    trust = [(GOLDEN / "policy.json").read_bytes()]
    _check(open_sealed(bundle, identity, trust, unlock).files)


def test_what_is_in_it_runs(bundle: Path) -> None:
    identity = recipient_private((KEYS / "x-wing.key").read_bytes(), "x-wing.key")
    session = onnxruntime.InferenceSession(
        bytes(open_sealed(bundle, identity).files["encoder.onnx"]),
        providers=["CPUExecutionProvider"],
    )
    (found,) = session.run(None, {"x": np.eye(32, dtype=np.float32)})
    rows, columns = np.indices((32, 32))
    assert np.array_equal(found, (7 * rows + 3 * columns) % 11)


def test_is_inspected(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundle), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["metadata"]["bundle_id"] == EXPECTED["bundle_id"]
    assert sorted(item["kem"] for item in told["recipients"]) == ["argon2id", "x-wing", "x25519"]


def test_its_licence_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["license", "show", str(GOLDEN / "licence.json"), "--json"]) == 0
    assert "golden-customer" in capsys.readouterr().out


def test_a_change_is_noticed(bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    payload = bytearray((copy / "model" / "encoder.onnx.enc").read_bytes())
    payload[-1] ^= 1
    (copy / "model" / "encoder.onnx.enc").write_bytes(payload)
    identity = recipient_private((KEYS / "x-wing.key").read_bytes(), "x-wing.key")
    with pytest.raises(IntegrityError, match="has changed"):
        open_sealed(copy, identity)


def _check(files: Mapping[str, Plaintext]) -> None:
    digests = {path: hashlib.sha256(data.view).hexdigest() for path, data in files.items()}
    assert digests == EXPECTED["files"]
