"""From a sealed bundle to a recogniser, and nothing in the clear on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import IntegrityError, KeyFileError, ToolchainError, UsageError
from asrpack.runtime import keyring, load
from asrpack.runtime.engines import paddle_inference
from asrpack.runtime.load import open_bundle
from tests.runtime import tiny
from tests.runtime.conftest import Sealed
from tests.runtime.test_recognizer import NOISE


@pytest.fixture(autouse=True)
def keep_this_process_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hardening does is tested in a process of its own, below."""
    monkeypatch.setattr(load, "harden_process", lambda: None)


def identity(path: Path) -> SecretSource:
    return SecretSource("file", str(path))


def test_opens_and_transcribes(sealed_once: Sealed) -> None:
    opened = open_bundle(
        sealed_once.path, identity(sealed_once.identity), [sealed_once.trust], threads=1
    )
    assert opened.description == tiny.describe()
    assert opened.metadata.name == "tiny"
    assert opened.recognizer.transcribe(NOISE).text


def test_opened_for_one_method(sealed_once: Sealed) -> None:
    """The same texts; what the method does not need is not loaded."""
    given = (sealed_once.path, identity(sealed_once.identity), [sealed_once.trust])
    whole = open_bundle(*given, threads=1).recognizer
    for method, graphs in (
        ("ctc_greedy_search", ["encoder"]),
        ("attention_rescoring", ["encoder", "decoder"]),
        (None, ["encoder", "decoder"]),
    ):
        opened = open_bundle(*given, threads=1, decode=method, one_method=True)
        assert [*opened.description.graphs] == graphs
        assert [*opened.recognizer.decoders] == graphs[1:]
        assert opened.recognizer.transcribe(NOISE) == whole.transcribe(NOISE, method)
    with pytest.raises(UsageError, match="cannot decode with 'magic'") as caught:
        open_bundle(*given, decode="magic", one_method=True)
    assert caught.value.remedy == f"choose one of {', '.join(tiny.METHODS)}"


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")
def test_a_paddle_bundle_is_loaded_from_memory(
    sealed_once: Sealed, paddle_sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same text as on ONNX Runtime; all that has a name is a link to a file in memory."""
    folder, seen = paddle_inference._folder, []

    @contextmanager
    def watched() -> Iterator[str]:
        with folder() as place:
            yield place
            seen.extend(str(item.readlink()) for item in Path(place).iterdir())

    monkeypatch.setattr(paddle_inference, "_folder", watched)
    texts = [
        open_bundle(sealed.path, identity(sealed.identity), [sealed.trust], threads=1)
        .recognizer.transcribe(NOISE)
        .text
        for sealed in (sealed_once, paddle_sealed)
    ]
    assert texts[0] == texts[1] != ""
    assert len(seen) == 2 and all(link.startswith("/proc/self/fd/") for link in seen)
    opened = [item.readlink() for item in Path("/proc/self/fd").iterdir() if item.exists()]
    assert not [link for link in opened if "memfd:graph" in str(link)]


def test_an_engine_that_is_not_installed(
    paddle_sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, paddle_inference.__name__, None)
    with pytest.raises(ToolchainError, match="engine paddle_inference cannot be") as caught:
        open_bundle(paddle_sealed.path, identity(paddle_sealed.identity))
    assert (caught.value.code, caught.value.place) == ("engine-missing", "encoder.json")


def test_opens_without_a_pinned_key(sealed_once: Sealed) -> None:
    assert open_bundle(sealed_once.path, identity(sealed_once.identity), threads=1)


def test_another_recipient_and_another_vendor_are_refused(sealed_once: Sealed) -> None:
    other = sealed_once.identity.with_name("other.pem")
    with pytest.raises(KeyFileError):
        open_bundle(sealed_once.path, identity(other), [sealed_once.trust])
    with pytest.raises(IntegrityError) as caught:
        open_bundle(sealed_once.path, identity(sealed_once.identity), [sealed_once.stranger])
    assert caught.value.code == "signer-untrusted"


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    "name", ["model/encoder.onnx.enc", "asrpack.json", "runtime/asrpack/errors.py"]
)
def test_a_flipped_bit_is_refused_before_anything_is_loaded(
    sealed: Sealed, name: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sealed.path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(load, "Recognizer", None)
    with pytest.raises(IntegrityError) as caught:
        open_bundle(sealed.path, identity(sealed.identity), [sealed.trust] if trusted else [])
    assert (caught.value.code, caught.value.place) == ("changed-file", name)


def test_a_runtime_older_than_the_bundle_asks_for(
    sealed_once: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = BundleMetadata.from_json(
        b"{}" if False else (sealed_once.path / "asrpack.json").read_bytes()
    )
    for version, fits in (("0.1.0", True), ("0.0.9", True), ("0.2.0", False), ("10.0", False)):
        metadata = replace(read, minimum_runtime=version)
        if fits:
            load._check_version(metadata)
        else:
            with pytest.raises(ToolchainError, match="needs asrpack"):
                load._check_version(metadata)


def test_trust_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASRPACK_TRUST", f"{tmp_path / 'a.pub'}{os.pathsep}{tmp_path / 'b.pub'}")
    assert keyring.trust_paths([]) == [tmp_path / "a.pub", tmp_path / "b.pub"]
    assert keyring.trust_paths([Path("c.pub")]) == [Path("c.pub")]
    with pytest.raises(KeyFileError, match="cannot read what is trusted"):
        keyring.read_trust(keyring.trust_paths([]))
    monkeypatch.setenv("ASRPACK_TRUST", "")
    assert keyring.trust_paths([]) == []


def test_identity_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASRPACK_IDENTITY", "/run/secrets/identity.key")
    assert str(keyring.identity_source(None)) == "/run/secrets/identity.key"
    assert str(keyring.identity_source("env:KEY")) == "env:KEY"
    monkeypatch.delenv("ASRPACK_IDENTITY")
    with pytest.raises(UsageError, match="no private key was given"):
        keyring.identity_source(None)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_process_is_kept_out_of_core_dumps() -> None:
    script = (
        "import ctypes, resource\n"
        "from asrpack.runtime.load import harden_process\n"
        "harden_process()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 (0, 0)\n"
