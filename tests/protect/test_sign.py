"""The signature: OpenSSF's own verifier accepts it, and ours accepts no tree it should not."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asrpack.bundle.keys import public_pem, signing_private
from asrpack.bundle.verify import RefusedError, verify_bundle
from asrpack.errors import IntegrityError
from asrpack.protect.keys import generate
from asrpack.protect.sign import sign_tree
from tests.hostile.bundles import SealedBundle


def model_signing(bundle: SealedBundle, public: str) -> subprocess.CompletedProcess[str]:
    signature, key = str(bundle.path / "model.sig"), str(bundle.folder / public)
    options = ["--signature", signature, "--public_key", key, "--no-ignore-git-paths"]
    return subprocess.run(
        [sys.executable, "-m", "model_signing", "verify", "key", *options, str(bundle.path)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None, reason="model-signing is not installed"
)
@pytest.mark.parametrize("curve", ["p256", "p384"])
def test_openssf_model_signing_accepts_it(sealed_bundle: SealedBundle, curve: str) -> None:
    public = "vendor.pub"
    if curve == "p384":
        private = sealed_bundle.folder / "p384.pem"
        command = ["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout"]
        subprocess.run([*command, "-out", str(private)], check=True, capture_output=True)
        key = signing_private(private.read_bytes(), "p384.pem")
        public = "p384.pub"
        (sealed_bundle.folder / public).write_bytes(public_pem(key))
        sign_tree(sealed_bundle.path, key, "digits")
    done = model_signing(sealed_bundle, public)
    assert done.returncode == 0, done.stderr
    assert "Verification succeeded" in done.stdout
    readme = sealed_bundle.path / "README.md"
    readme.write_text("forged")
    done = model_signing(sealed_bundle, public)
    assert done.returncode != 0
    assert "README.md" in done.stdout + done.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "asrpack.json").write_text('{"format":"asrpack-bundle/1"}')
    (root / "folder" / "file").write_text("x")
    return root


def test_signs_again(tree: Path) -> None:
    key = signing_private(generate("signing"), "k")
    sign_tree(tree, key, "x")
    (tree / "folder" / "file").write_text("y")
    with pytest.raises(RefusedError):
        verify_bundle(tree, [public_pem(key)])
    sign_tree(tree, key, "x")
    assert set(verify_bundle(tree, [public_pem(key)]).digests) == {"asrpack.json", "folder/file"}


@pytest.mark.parametrize("fault", ["symlink", "hard-link", "special-file", "manifest-name"])
def test_does_not_sign_what_would_be_refused(tree: Path, fault: str) -> None:
    if fault == "symlink":
        (tree / "link").symlink_to("folder")
    elif fault == "hard-link":
        (tree / "second").hardlink_to(tree / "asrpack.json")
    elif fault == "special-file":
        os.mkfifo(tree / "fifo")
    else:
        (tree / "a\nb").write_text("")
    with pytest.raises(IntegrityError) as error:
        sign_tree(tree, signing_private(generate("signing"), "k"), "x")
    assert error.value.code == fault
    assert not (tree / "model.sig").exists()
