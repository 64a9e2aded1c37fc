"""Files in several payloads: whole again after decryption, and each bound to its place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.bundle.envelope import Envelope, open_envelope
from asrpack.bundle.keys import public_pem, recipient_private, recipient_public, signing_private
from asrpack.bundle.opening import check_bundle, open_sealed
from asrpack.bundle.payload import Decryption, is_payload
from asrpack.bundle.plaintext import Plaintext
from asrpack.errors import AsrpackError, IntegrityError
from asrpack.protect.encrypt import encrypt_files, wrap_for
from asrpack.protect.keys import generate
from asrpack.protect.sign import sign_tree
from tests.hostile.bundles import PLAINTEXTS, SealedBundle, metadata, vendor_key

CHUNK = 16384
FIRST = "model/encoder.onnx.enc.0000"


def encrypt_again(bundle: SealedBundle, part_size: int = CHUNK) -> None:
    """The bundle's model in small parts, under fresh keys, signed."""
    for path in (bundle.path / "model").iterdir():
        path.unlink()
    recipients = [recipient_public(bundle.bytes_of(f"{n}.pub"), n) for n in ("customer", "old")]
    signer = signing_private(bundle.bytes_of("vendor.pem"), "vendor.pem").public_bytes
    files = {**PLAINTEXTS, "decoder.onnx": b"the decoder" * 4000}
    envelope = encrypt_files(files, recipients, signer, bundle.path / "model", part_size=part_size)
    (bundle.path / "asrpack.json").write_bytes(metadata(envelope).to_json())
    sign(bundle)


def sign(bundle: SealedBundle) -> None:
    sign_tree(bundle.path, vendor_key(bundle.path), "x")


def opened(bundle: SealedBundle) -> dict[str, bytes]:
    identity = recipient_private(bundle.bytes_of("old.key"), "old.key")
    files = open_sealed(bundle.path, identity, [bundle.bytes_of("vendor.pub")]).files
    return {name: bytes(content) for name, content in files.items()}


@pytest.fixture(scope="module")
def parted_once(
    master_bundle: SealedBundle, tmp_path_factory: pytest.TempPathFactory
) -> SealedBundle:
    bundle = master_bundle.copy(tmp_path_factory.mktemp("parts") / "sealed")
    encrypt_again(bundle)
    return bundle


@pytest.fixture
def parted(parted_once: SealedBundle, tmp_path: Path) -> SealedBundle:
    """A copy to break; its encoder is 76,800 bytes in five parts, its decoder in three."""
    return parted_once.copy(tmp_path / "sealed")


def test_opens(parted_once: SealedBundle) -> None:
    names = sorted(path.name for path in (parted_once.path / "model").iterdir())
    assert [name for name in names if name.startswith("encoder")] == [
        f"encoder.onnx.enc.{number:04}" for number in range(5)
    ]
    assert "model.json.enc" in names
    files = opened(parted_once)
    assert files["encoder.onnx"] == PLAINTEXTS["encoder.onnx"]
    assert files["decoder.onnx"] == b"the decoder" * 4000


def _part(name: str, number: int) -> str:
    return f"{name}.enc.{number:04}"


def _exchange(first: str, second: str) -> Callable[[Path], None]:
    def act(model: Path) -> None:
        one, two = (model / first).read_bytes(), (model / second).read_bytes()
        (model / first).write_bytes(two)
        (model / second).write_bytes(one)

    return act


def _copy(source: str, target: str) -> Callable[[Path], None]:
    return lambda model: shutil.copyfile(model / source, model / target) and None


def _remove(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def _cut(name: str, count: int) -> Callable[[Path], None]:
    return lambda model: (model / name).write_bytes((model / name).read_bytes()[:-count]) and None


def _reorder(model: Path) -> None:
    parts = sorted(model.glob("encoder.onnx.enc.*"))
    contents = [path.read_bytes() for path in parts]
    for path, content in zip(parts, [*contents[1:4], contents[0], contents[4]], strict=True):
        path.write_bytes(content)


def _join(model: Path) -> None:
    parts = sorted(model.glob("encoder.onnx.enc.*"))
    (model / "encoder.onnx.enc").write_bytes(b"".join(path.read_bytes() for path in parts))
    for path in parts:
        path.unlink()


ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
# What the vendor signed: only the encryption can tell.
BROKEN: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "swapped": (_exchange(_part(ENCODER, 0), _part(ENCODER, 1)), "ciphertext", FIRST),
    "reordered": (_reorder, "ciphertext", FIRST),
    "one twice": (
        _copy(_part(ENCODER, 0), _part(ENCODER, 2)),
        "ciphertext",
        "model/" + _part(ENCODER, 2),
    ),
    "of another file": (_copy(_part(DECODER, 0), _part(ENCODER, 0)), "ciphertext", FIRST),
    "of a file in one": (_copy("model.json.enc", _part(ENCODER, 0)), "ciphertext", FIRST),
    "the first missing": (_remove(_part(ENCODER, 0)), "missing-file", FIRST),
    "the last missing": (_remove(_part(ENCODER, 4)), "missing-file", "model/" + _part(ENCODER, 4)),
    "one more": (
        _copy(_part(ENCODER, 4), _part(ENCODER, 5)),
        "envelope-files",
        "model/" + _part(ENCODER, 5),
    ),
    "a file that nobody names": (
        _copy("model.json.enc", "other.json.enc"),
        "envelope-files",
        "model/other.json.enc",
    ),
    "cut": (_cut(_part(ENCODER, 0), 1), "ciphertext", FIRST),
    "cut to the head": (_cut(_part(ENCODER, 0), 16400 + 16), "ciphertext", FIRST),
    "joined": (_join, "envelope-files", "model/encoder.onnx.enc"),
}


@pytest.mark.parametrize(("act", "code", "place"), BROKEN.values(), ids=BROKEN)
def test_refused_though_signed(
    parted: SealedBundle, act: Callable[[Path], None], code: str, place: str
) -> None:
    act(parted.path / "model")
    sign(parted)
    with pytest.raises(AsrpackError) as error:
        opened(parted)
    assert (error.value.code, error.value.place, error.value.exit_code) == (code, place, 6)
    assert error.value.remedy


@pytest.mark.parametrize("act", [item[0] for item in BROKEN.values()], ids=BROKEN)
def test_refused_by_the_signature(parted: SealedBundle, act: Callable[[Path], None]) -> None:
    act(parted.path / "model")
    with pytest.raises(AsrpackError) as verified:
        check_bundle(parted.path, [parted.bytes_of("vendor.pub")])
    with pytest.raises(AsrpackError) as error:
        opened(parted)
    for refused in (verified, error):
        errors = getattr(refused.value, "errors", [refused.value])
        assert {item.code for item in errors} <= {"changed-file", "missing-file", "extra-file"}
        assert refused.value.exit_code == 6


def test_every_changed_part_is_told(parted: SealedBundle) -> None:
    for number in (1, 3):
        with (parted.path / "model" / _part(ENCODER, number)).open("r+b") as stream:
            stream.seek(100)
            stream.write(b"changed")
    with pytest.raises(AsrpackError) as error:
        opened(parted)
    errors = getattr(error.value, "errors", [])
    assert [(item.code, item.place) for item in errors] == [
        ("changed-file", f"model/{_part(ENCODER, number)}") for number in (1, 3)
    ]


def test_parts_of_another_encryption(parted: SealedBundle, tmp_path: Path) -> None:
    other = parted.copy(tmp_path / "other")
    encrypt_again(other)
    shutil.copyfile(other.path / FIRST, parted.path / FIRST)
    sign(parted)
    with pytest.raises(AsrpackError) as error:
        opened(parted)
    assert (error.value.code, error.value.place) == ("ciphertext", FIRST)


def test_a_size_that_is_only_claimed(parted: SealedBundle) -> None:
    """64 GiB by the vendor's own header: refused before there is memory for them."""
    path = parted.path / "model" / "envelope.json"
    identity = recipient_private(parted.bytes_of("old.key"), "old.key")
    keys = open_envelope(path.read_bytes(), identity)
    header = Envelope.from_json(path.read_bytes()).header
    first, *rest = header.files
    header = replace(header, files=(replace(first, size=1 << 36, part_size=1 << 35), *rest))
    (parted.path / "model" / _part(DECODER, 2)).unlink()
    recipient = recipient_public(parted.bytes_of("old.pub"), "old")
    wrapped = wrap_for([recipient], b"".join(keys[item.path] for item in header.files), header)
    path.write_bytes(Envelope(header, wrapped).to_json())
    sign(parted)
    with pytest.raises(AsrpackError) as error:
        opened(parted)
    assert (error.value.code, error.value.place) == ("ciphertext", f"model/{_part(DECODER, 0)}")


def test_the_metadata_and_recipients_of_a_parted_bundle(
    parted: SealedBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new recipient opens every part; the parts stay as they are."""
    from asrpack.cli import main

    before = {path.name: path.read_bytes() for path in (parted.path / "model").glob("*.enc.*")}
    folder = parted.folder
    words = ["--identity", f"{folder}/old.key", "--sign", f"{folder}/vendor.pem"]
    stranger = f"--recipient={folder}/stranger.pub"
    assert main(["recipients", "add", str(parted.path), stranger, *words]) == 0
    assert {
        path.name: path.read_bytes() for path in (parted.path / "model").glob("*.enc.*")
    } == before
    identity = recipient_private(parted.bytes_of("stranger.key"), "stranger.key")
    files = open_sealed(parted.path, identity, [parted.bytes_of("vendor.pub")]).files
    assert files["encoder.onnx"] == PLAINTEXTS["encoder.onnx"]
    capsys.readouterr()
    assert main(["inspect", str(parted.path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"path": "encoder.onnx", "size": 76800} in told["encrypted"]


@pytest.mark.parametrize("size", [0, 99, 101, 16383, 16384, 50_000])
def test_a_payload_of_another_size_than_the_header_says(tmp_path: Path, size: int) -> None:
    identity = recipient_private(generate("recipient", "x25519"), "key")
    recipients = [recipient_public(public_pem(identity), "key")]
    envelope = encrypt_files({"a.onnx": bytes(100)}, recipients, b"signer", tmp_path)
    (part,) = envelope.header.files[0].parts(envelope.header.bundle_id)
    key = open_envelope(envelope.to_json(), identity)["a.onnx"]
    decryption = Decryption(replace(part, size=size), key, Plaintext(size))
    decryption(memoryview((tmp_path / "a.onnx.enc").read_bytes()))
    with pytest.raises(IntegrityError) as error:
        decryption.finish()
    assert (error.value.code, error.value.place) == ("ciphertext", "model/a.onnx.enc")


SIZES = sorted({max(0, n * CHUNK + more) for n in range(5) for more in (-1, 0, 1)} | {20_000})


@settings(max_examples=60)
@given(
    size=st.one_of(st.sampled_from(SIZES), st.integers(0, 5 * CHUNK)),
    part_size=st.sampled_from([CHUNK, CHUNK + 1, 20_000, 2 * CHUNK - 1, 2 * CHUNK, 1 << 20]),
    piece=st.sampled_from([16, 1000, CHUNK, CHUNK + 16, 1 << 20]),
)
def test_any_size_comes_back(
    tmp_path_factory: pytest.TempPathFactory, size: int, part_size: int, piece: int
) -> None:
    out = tmp_path_factory.mktemp("size")
    identity = recipient_private(generate("recipient", "x25519"), "key")
    plain = bytes(i * i % 251 for i in range(size))
    (out / "plain").write_bytes(plain)
    recipients = [recipient_public(public_pem(identity), "key")]
    envelope = encrypt_files(
        {"a.onnx": out / "plain", "b.onnx": plain}, recipients, b"signer", out, part_size=part_size
    )
    keys = open_envelope(envelope.to_json(), identity)
    written = {f"model/{path.name}" for path in out.glob("*.enc*")}
    named = set()
    for item in envelope.header.files:
        assert (item.part_size is None) == (size <= part_size)
        target = Plaintext(item.size)
        for part in item.parts(envelope.header.bundle_id):
            named.add(part.name)
            decryption = Decryption(part, keys[item.path], target)
            sealed = memoryview((out / Path(part.name).name).read_bytes())
            for start in range(0, len(sealed), piece):
                decryption(sealed[start : start + piece])
            decryption.finish()
        assert target == plain
    assert named == written and all(map(is_payload, named))
