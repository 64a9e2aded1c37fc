"""A reader written from docs/format.md alone opens bundles, and refuses what asrpack refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asrpack.bundle.envelope import ENVELOPE_FILE
from asrpack.bundle.keys import signing_private
from asrpack.bundle.verify import canonical_json
from asrpack.protect.keys import generate, write_key_pair
from asrpack.protect.sign import sign_tree
from tests.hostile.bundles import PLAINTEXTS, SealedBundle, edit_statement, vendor_key
from tests.second_reader.compiled import read
from tests.vectors.load import FILES, Vectors, unpack

GOLDEN = Path(__file__).parents[1] / "golden" / "bundle-1"

# Compiling takes most of a minute: once, in the process that also tests built bundles.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]


def run(
    program: Path, bundle: SealedBundle, identity: str = "customer.key"
) -> tuple[int, str, str]:
    folder = bundle.folder
    return read(program, bundle.path, folder / "vendor.pub", folder / identity)


@pytest.mark.parametrize("identity", ["customer.key", "old.key"])
def test_opens(second_reader: Path, master_bundle: SealedBundle, identity: str) -> None:
    code, out, err = run(second_reader, master_bundle, identity)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{hashlib.sha256(data).hexdigest()}  {path}" for path, data in sorted(PLAINTEXTS.items())
    ]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("kem", ["x-wing", "x25519"])
def test_opens_the_vectors(second_reader: Path, tmp_path: Path, kem: str, file: str) -> None:
    vectors: Vectors = unpack(tmp_path, file)
    code, out, err = read(
        second_reader, vectors.bundle, vectors.key("signing.pub"), vectors.key(f"{kem}.key")
    )
    assert (code, err) == (0, "")
    wanted = {path: item["sha256"] for path, item in vectors.raw["plaintexts"].items()}
    assert dict(reversed(line.split("  ")) for line in out.splitlines()) == wanted  # type: ignore[misc]


@pytest.mark.parametrize("kem", ["x-wing", "x25519"])
def test_opens_the_golden_bundle(second_reader: Path, kem: str) -> None:
    keys = GOLDEN / "keys"
    code, out, err = read(
        second_reader, GOLDEN / "bundle", keys / "vendor.pub", keys / f"{kem}.key"
    )
    assert (code, err) == (0, "")
    wanted = json.loads((GOLDEN / "expected.json").read_bytes())["files"]
    assert dict(reversed(line.split("  ")) for line in out.splitlines()) == wanted  # type: ignore[misc]


def test_p384(second_reader: Path, sealed_bundle: SealedBundle) -> None:
    """Another curve is another signer: the envelope must name it, so it is made anew."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from asrpack.cli import main

    private = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    folder = sealed_bundle.folder
    write_key_pair(private, folder / "p384.pem")
    recipients = [f"--recipient={folder}/{name}.pub" for name in ("customer", "old")]
    words = ["--sign", f"{folder}/p384.pem", "--identity", f"{folder}/old.key"]
    trust = ["--trust", f"{folder}/vendor.pub"]
    assert main(["resign", str(sealed_bundle.path), *trust, *words, *recipients]) == 0
    args = (sealed_bundle.path, folder / "p384.pub", folder / "customer.key")
    assert read(second_reader, *args)[0] == 0
    assert run(second_reader, sealed_bundle)[0] == 1


def _edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[SealedBundle], None]:
    def act(bundle: SealedBundle) -> None:
        file = bundle.path / name
        file.write_bytes(change(file.read_bytes()))

    return act


def _signed(act: Callable[[SealedBundle], None]) -> Callable[[SealedBundle], None]:
    """As the vendor would sign it: what is left to find is inside."""

    def both(bundle: SealedBundle) -> None:
        act(bundle)
        sign_tree(bundle.path, vendor_key(bundle.path), "x")

    return both


def _envelope(change: Callable[[Any], None]) -> Callable[[SealedBundle], None]:
    def edit(data: bytes) -> bytes:
        raw = json.loads(data)
        change(raw)
        return canonical_json(raw)

    return _signed(_edit(ENVELOPE_FILE, edit))


def _strange_signer(bundle: SealedBundle) -> None:
    sign_tree(bundle.path, signing_private(generate("signing"), "k"), "x")


def _exchange(bundle: SealedBundle) -> None:
    one, two = bundle.path / "model/encoder.onnx.enc", bundle.path / "model/decoder.onnx.enc"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def _link(bundle: SealedBundle) -> None:
    (bundle.path / "README.md").rename(bundle.folder / "readme")
    (bundle.path / "README.md").symlink_to("../readme")


REFUSED: dict[str, Callable[[SealedBundle], None]] = {
    "a payload's bit": _edit("model/encoder.onnx.enc", lambda d: d[:-1] + bytes([d[-1] ^ 1])),
    "an extra file": lambda b: (b.path / "extra").write_text("x") and None,
    "a missing file": lambda b: (b.path / "README.md").unlink(),
    "a hard link": lambda b: (b.folder / "second").hardlink_to(b.path / "README.md"),
    "a symbolic link": _link,
    "an executable": lambda b: (b.path / "README.md").chmod(0o755),
    "an empty directory": lambda b: (b.path / "none").mkdir(),
    "no signature": lambda b: (b.path / "model.sig").unlink(),
    "another signer": _strange_signer,
    "signature with white space": _edit("model.sig", lambda d: d + b"\n"),
    "another predicate": lambda b: edit_statement(
        b.path, lambda s: s.update(predicateType="https://model_signing/Digests/v0.1")
    ),
    "a digest of the root": lambda b: edit_statement(
        b.path, lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)
    ),
    "metadata with a key twice": _signed(
        _edit("asrpack.json", lambda d: d[:-1] + b',"format":"asrpack-bundle/1"}')
    ),
    "envelope not canonical": _signed(_edit(ENVELOPE_FILE, lambda d: d + b"\n")),
    "unknown suite": _envelope(lambda raw: raw["header"].update(suite="x")),
    "another size": _envelope(lambda raw: raw["header"]["files"][0].update(size=1)),
    "a KEM unknown": _envelope(lambda raw: raw["recipients"][0].update(kem="rsa")),
    "nobody": _envelope(lambda raw: raw.update(recipients=[])),
    "ciphertexts exchanged": _signed(_exchange),
    "cut at a chunk": _signed(_edit("model/encoder.onnx.enc", lambda d: d[: 56 + 16400])),
    "cut in the head": _signed(_edit("model/encoder.onnx.enc", lambda d: d[:55])),
    "a commitment": _signed(
        _edit("model/encoder.onnx.enc", lambda d: d[:30] + bytes([d[30] ^ 1]) + d[31:])
    ),
    "a chunk more": _signed(_edit("model/decoder.onnx.enc", lambda d: d + d[56:])),
}


@pytest.mark.parametrize("act", REFUSED.values(), ids=REFUSED)
def test_refused(
    second_reader: Path, sealed_bundle: SealedBundle, act: Callable[[SealedBundle], None]
) -> None:
    act(sealed_bundle)
    code, out, err = run(second_reader, sealed_bundle)
    assert (code, out) == (1, "")
    assert err.startswith("refused: ") and "panic" not in err


def test_a_stranger(second_reader: Path, master_bundle: SealedBundle) -> None:
    code, out, err = run(second_reader, master_bundle, "stranger.key")
    assert (code, out) == (1, "") and "not for this identity" in err
