"""A built bundle whose recipients and signer change: it runs, and another reader opens it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import RECIPE, Workshop
from tests.second_reader.compiled import read, second_reader

__all__ = ["second_reader"]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]
RECORDING = RECIPE.parent / "data" / "human" / "001.wav"


def transcribe(bundle: Path, identity: str, trust: Path) -> str:
    """By the runtime inside the bundle."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(bundle / "runtime"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PHRASE": "correct horse battery staple",
    }
    words = ["run", str(bundle), str(RECORDING), "--json", "--trust", str(trust)]
    done = subprocess.run(
        [sys.executable, "-m", "asrpack.runtime", *words, "--identity", identity],
        env=environment,
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["text"])


def payloads(bundle: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (bundle / "model").glob("*.enc")
    }


def test_recipients_and_signer_of_a_built_bundle(
    bundle: Path,
    workshop: Workshop,
    second_reader: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PHRASE", "correct horse battery staple")
    mine, keys = tmp_path / "bundle", workshop.keys
    shutil.copytree(bundle, mine)
    before = payloads(mine)
    workshop.asrpack("keys", "generate", "signing", "-o", str(tmp_path / "fresh.pem"))
    old, fresh = keys / "vendor.pub", tmp_path / "fresh.pub"

    opened = read(second_reader, mine, old, keys / "acme.key")
    assert opened[0] == 0 and "encoder.onnx" in opened[1]
    assert read(second_reader, mine, old, keys / "other.key")[0] == 1

    signing = ["--sign", str(keys / "vendor.pem")]
    added = ["--recipient", str(keys / "other.pub"), "--recipient", "passphrase:env:PHRASE"]
    acme = ["--identity", str(keys / "acme.key")]
    workshop.asrpack("recipients", "add", str(mine), *added, *acme, *signing)
    assert read(second_reader, mine, old, keys / "other.key") == opened
    assert transcribe(mine, "passphrase:env:PHRASE", old) == "ten of clubs"

    everyone = [f"--recipient={keys}/{name}.pub" for name in ("acme", "other")]
    everyone.append("--recipient=passphrase:env:PHRASE")
    signing = ["--trust", str(old), "--sign", str(tmp_path / "fresh.pem")]
    workshop.asrpack("resign", str(mine), *everyone, *acme, *signing)
    assert read(second_reader, mine, fresh, keys / "acme.key") == opened
    assert read(second_reader, mine, old, keys / "acme.key")[0] == 1
    assert transcribe(mine, str(keys / "other.key"), fresh) == "ten of clubs"
    assert payloads(mine) == before
    workshop.asrpack("verify", str(mine), "--trust", str(fresh))
