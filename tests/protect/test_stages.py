"""The stages encrypt and seal."""

from __future__ import annotations

import os
import shutil
import stat
import tracemalloc
from pathlib import Path

import pytest

from asrpack.bundle.envelope import Envelope, open_envelope
from asrpack.bundle.keys import (
    public_pem,
    recipient_private,
    recipient_public,
    signing_private,
)
from asrpack.bundle.opening import check_bundle
from asrpack.bundle.payload import decrypt
from asrpack.errors import AsrpackError, InputError, KeyFileError
from asrpack.protect.encrypt import encrypt_files
from asrpack.protect.keys import generate
from asrpack.stages.encrypt import Encrypt
from asrpack.stages.seal import Seal
from asrpack.stages.stage import Context
from tests.hostile.bundles import SealedBundle


@pytest.fixture
def recipient() -> tuple[str, bytes]:
    """Public text and private text."""
    private = generate("recipient")
    return public_pem(recipient_private(private, "k")).decode(), private


@pytest.fixture
def signer() -> tuple[str, bytes]:
    private = generate("signing")
    return public_pem(signing_private(private, "k")).decode(), private


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "encoder.onnx").write_bytes(b"encoder" * 1000)
    (tmp_path / "model.json").write_bytes(b"{}")
    (tmp_path / "out").mkdir()
    return {"graphs": tmp_path / "onnx", "description": tmp_path / "model.json"}


def test_a_model_without_decoder(
    model: dict[str, Path],
    tmp_path: Path,
    recipient: tuple[str, bytes],
    signer: tuple[str, bytes],
) -> None:
    params = Encrypt.Params(recipients=(recipient[0],), signer=signer[0])
    Encrypt().run(params, model, tmp_path / "out", Context())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]
    names = sorted(path.name for path in (tmp_path / "out" / "model").iterdir())
    assert names == ["encoder.onnx.enc", "envelope.json", "model.json.enc"]


def test_every_run_has_fresh_keys_and_a_fresh_id(
    model: dict[str, Path],
    tmp_path: Path,
    recipient: tuple[str, bytes],
    signer: tuple[str, bytes],
) -> None:
    params = Encrypt.Params(recipients=(recipient[0],), signer=signer[0])
    seen = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        Encrypt().run(params, model, tmp_path / name, Context())
        data = (tmp_path / name / "model" / "envelope.json").read_bytes()
        keys = open_envelope(data, recipient_private(recipient[1], "k"))
        seen.append((Envelope.from_json(data).header.bundle_id, *keys.values()))
    assert not set(seen[0]) & set(seen[1])


def test_encrypt_refuses_wrong_keys(
    model: dict[str, Path],
    tmp_path: Path,
    recipient: tuple[str, bytes],
    signer: tuple[str, bytes],
) -> None:
    for recipients, key, code in (
        ((), signer[0], "recipients-count"),
        ((recipient[0], recipient[0]), signer[0], "recipients-duplicate"),
        ((recipient[0],) * 65, signer[0], "recipients-count"),
        ((signer[0],), signer[0], "key-wrong-kind"),
        ((recipient[1].decode(),), signer[0], "key-wrong-half"),
        ((recipient[0],), recipient[0], "key-wrong-kind"),
    ):
        params = Encrypt.Params(recipients=recipients, signer=key)
        with pytest.raises(KeyFileError) as error:
            out = tmp_path / "out"
            shutil.rmtree(out)
            out.mkdir()
            Encrypt().run(params, model, out, Context())
        assert error.value.code == code


def test_large_files_are_streamed(tmp_path: Path, recipient: tuple[str, bytes]) -> None:
    size = 48 << 20
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(size)
    tracemalloc.start()
    envelope = encrypt_files(
        {"encoder.onnx": tmp_path / "big"},
        [recipient_public(recipient[0].encode(), "k")],
        b"signer",
        tmp_path,
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
    assert envelope.header.files[0].size == size
    keys = open_envelope(envelope.to_json(), recipient_private(recipient[1], "k"))
    sealed = (tmp_path / "encoder.onnx.enc").read_bytes()
    context = f"{envelope.header.bundle_id}|encoder.onnx|1".encode()
    plain = decrypt(sealed, keys["encoder.onnx"], context)
    assert plain == bytes(size)


@pytest.fixture
def parts(sealed_bundle: SealedBundle, tmp_path: Path) -> dict[str, Path]:
    """A sealed bundle taken apart again into tree and model."""
    tree, model = tmp_path / "tree", tmp_path / "model"
    shutil.copytree(sealed_bundle.path, tree)
    (tree / "model").rename(model)
    (tree / "model.sig").unlink()
    (tmp_path / "out").mkdir()
    return {"tree": tree, "model": model}


def seal(bundle: SealedBundle, parts: dict[str, Path], key: str = "vendor.pem") -> Path:
    out = parts["tree"].parent / "out"
    Seal().run(Seal.Params(), parts, out, Context(secrets={"key": bundle.bytes_of(key)}))
    return out / "bundle"


def test_seal_normalises_modes_and_links(
    sealed_bundle: SealedBundle, parts: dict[str, Path]
) -> None:
    readme = parts["tree"] / "README.md"
    readme.chmod(0o777)
    (parts["tree"] / "runtime").chmod(0o700)
    os.link(readme, parts["tree"].parent / "second")
    old = os.umask(0o077)
    try:
        bundle = seal(sealed_bundle, parts)
    finally:
        os.umask(old)
    for path in (bundle, *bundle.rglob("*")):
        wanted = 0o755 if path.is_dir() else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
        assert path.is_dir() or path.stat().st_nlink == 1
    check_bundle(bundle, [sealed_bundle.bytes_of("vendor.pub")])


def test_seal_refuses(sealed_bundle: SealedBundle, parts: dict[str, Path]) -> None:
    def refused(kind: type[AsrpackError], code: str, key: str = "vendor.pem") -> None:
        shutil.rmtree(parts["tree"].parent / "out")
        (parts["tree"].parent / "out").mkdir()
        with pytest.raises(kind) as error:
            seal(sealed_bundle, parts, key)
        assert error.value.code == code

    (sealed_bundle.folder / "second.pem").write_bytes(generate("signing"))
    refused(KeyFileError, "signer-mismatch", "second.pem")
    refused(KeyFileError, "key-wrong-kind", "customer.key")
    refused(KeyFileError, "key-wrong-half", "vendor.pub")
    (parts["tree"] / "link").symlink_to("README.md")
    refused(InputError, "special-file")
    (parts["tree"] / "link").unlink()
    text = (parts["tree"] / "asrpack.json").read_text()
    bundle_id = Envelope.from_json((parts["model"] / "envelope.json").read_bytes()).header.bundle_id
    other = text.replace(bundle_id, bundle_id[:-1] + ("0" if bundle_id[-1] != "0" else "1"))
    (parts["tree"] / "asrpack.json").write_text(other)
    refused(InputError, "metadata-bundle-id")
    (parts["tree"] / "asrpack.json").unlink()
    refused(InputError, "metadata-missing")


def test_no_secret_in_the_bundle(sealed_bundle: SealedBundle) -> None:
    for name in ("vendor.pem", "customer.key", "old.key"):
        secret = sealed_bundle.bytes_of(name).splitlines()[1]
        for path in sealed_bundle.path.rglob("*"):
            assert path.is_dir() or secret not in path.read_bytes()
