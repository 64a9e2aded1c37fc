"""A small sealed bundle made by the real stages; no toolchain, no real model."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asrpack
from asrpack.bundle import verify
from asrpack.bundle.envelope import Envelope
from asrpack.bundle.keys import Key, signing_private
from asrpack.bundle.metadata import BundleMetadata, ModelSummary, utc
from asrpack.protect.keys import generate, write_key_pair
from asrpack.protect.sign import envelope as signature_bundle
from asrpack.stages.encrypt import Encrypt
from asrpack.stages.seal import Seal
from asrpack.stages.stage import Context

CREATED = 1_750_000_000
PLAINTEXTS = {
    "encoder.onnx": bytes(range(256)) * 300,
    "decoder.onnx": b"the decoder" * 100,
    "model.json": b'{"format":1}\n',
}


@dataclass(frozen=True)
class SealedBundle:
    """A bundle with the keys of its vendor and its customer.

    ``path`` is ``folder/bundle``; beside it ``vendor.pem``, ``vendor.pub``, ``customer.key``,
    ``customer.pub`` (X-Wing), ``old.key``, ``old.pub`` (X25519, a recipient too) and
    ``stranger.key``, ``stranger.pub`` (no recipient).
    """

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "bundle"

    def bytes_of(self, name: str) -> bytes:
        """A file beside the bundle."""
        return (self.folder / name).read_bytes()

    def copy(self, folder: Path) -> SealedBundle:
        """The same bundle and keys in ``folder``, which must not exist."""
        shutil.copytree(self.folder, folder)
        return SealedBundle(folder)


def make_bundle(folder: Path) -> SealedBundle:
    """Makes keys, encrypts, renders a small tree and seals."""
    folder.mkdir(parents=True)
    write_key_pair(generate("signing"), folder / "vendor.pem")
    write_key_pair(generate("recipient"), folder / "customer.key")
    write_key_pair(generate("recipient", "x25519"), folder / "old.key")
    write_key_pair(generate("recipient"), folder / "stranger.key")
    work = folder / "work"
    onnx, tree, out = work / "onnx", work / "tree", work / "out"
    for directory in (onnx, tree / "runtime" / "asrpack", out):
        directory.mkdir(parents=True)
    for name in ("encoder.onnx", "decoder.onnx"):
        (onnx / name).write_bytes(PLAINTEXTS[name])
    (work / "model.json").write_bytes(PLAINTEXTS["model.json"])
    params = Encrypt.Params(
        recipients=((folder / "customer.pub").read_text(), (folder / "old.pub").read_text()),
        signer=(folder / "vendor.pub").read_text(),
    )
    Encrypt().run(params, {"graphs": onnx, "description": work / "model.json"}, out, Context())
    (tree / "README.md").write_text("A bundle.\n")
    (tree / ".dockerignore").write_text("*.log\n")
    (tree / "runtime" / "asrpack" / "__init__.py").write_text("# runs a model\n")
    shutil.copyfile(verify.__file__, tree / "verify.py")
    envelope = Envelope.from_json((out / "model" / "envelope.json").read_bytes())
    (tree / "asrpack.json").write_bytes(metadata(envelope).to_json())
    secrets = Context(secrets={"key": (folder / "vendor.pem").read_bytes()})
    Seal().run(Seal.Params(), {"tree": tree, "model": out / "model"}, folder, secrets)
    shutil.rmtree(work)
    return SealedBundle(folder)


def metadata(envelope: Envelope) -> BundleMetadata:
    """Metadata that fits an envelope."""
    return BundleMetadata(
        bundle_id=envelope.header.bundle_id,
        name="digits",
        version="1.0.0",
        build="cpu",
        asrpack=asrpack.__version__,
        created=utc(CREATED),
        target="onnxruntime",
        precision="int8",
        model=ModelSummary("paddlespeech_u2", 16000, 30, "attention_rescoring"),
        files={"model/encoder.onnx.enc": "encoder", "model/decoder.onnx.enc": "decoder"},
        watermark=None,
        minimum_runtime="0.1.0",
        recipients=tuple(item.kid for item in envelope.recipients),
        sequence=CREATED,
    )


def vendor_key(bundle: Path) -> Key:
    """The vendor's private key of a bundle that :func:`make_bundle` made."""
    return signing_private((bundle.parent / "vendor.pem").read_bytes(), "vendor.pem")


def read_payload(bundle: Path) -> bytes:
    """The signed statement of a bundle."""
    outer = json.loads((bundle / "model.sig").read_bytes())
    return base64.b64decode(outer["dsseEnvelope"]["payload"])


def sign_payload(bundle: Path, payload: bytes, key: Key | None = None) -> dict[str, Any]:
    """Signs any payload, with the vendor's key if no other is given, and writes ``model.sig``."""
    outer = signature_bundle(payload, (key or vendor_key(bundle)).handle)
    (bundle / "model.sig").write_bytes(verify.canonical_json(outer))
    return outer


def edit_statement(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the statement, puts its root digest right and signs it as the vendor."""
    statement = json.loads(read_payload(bundle))
    change(statement)
    sign_payload(bundle, verify.canonical_json(statement))


def edit_signature(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes fields of ``model.sig`` without signing."""
    outer = json.loads((bundle / "model.sig").read_bytes())
    change(outer)
    (bundle / "model.sig").write_bytes(verify.canonical_json(outer))
