"""Findings in detail: what is reported where, and what is not a fault."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asrpack.bundle import verify
from asrpack.bundle.keys import signing_private
from asrpack.bundle.verify import (
    Finding,
    FormatError,
    RefusedError,
    canonical_json,
    load_trusted_key,
    name_fault,
    strict_json,
    verify_bundle,
)
from asrpack.protect.keys import generate, write_key_pair
from asrpack.protect.sign import sign_tree
from tests.hostile.bundles import SealedBundle


def findings_of(bundle: SealedBundle, trust: str = "vendor.pub") -> list[tuple[str, str | None]]:
    with pytest.raises(RefusedError) as refused:
        verify_bundle(bundle.path, [bundle.bytes_of(trust)])
    return [(item.code, item.path) for item in refused.value.findings]


def test_a_sound_bundle(sealed_bundle: SealedBundle) -> None:
    verified = verify_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    files = {p.relative_to(sealed_bundle.path).as_posix() for p in sealed_bundle.path.rglob("*.*")}
    assert set(verified.digests) == files - {"model.sig"}
    assert verified.read("README.md") == b"A bundle.\n"
    assert (
        verified.signer.der
        == signing_private(sealed_bundle.bytes_of("vendor.pem"), "x").public_bytes
    )


def test_any_of_several_trusted_keys(sealed_bundle: SealedBundle) -> None:
    other = sealed_bundle.copy(sealed_bundle.folder.parent / "other")
    write_key_pair(generate("signing"), other.folder / "second.pem")
    keys = [other.bytes_of("second.pub"), other.bytes_of("vendor.pub")]
    assert verify_bundle(other.path, keys).signer.der == load_trusted_key(keys[1]).der
    assert findings_of(other, "second.pub") == [("signer-untrusted", "model.sig")]


def test_no_trusted_key_is_a_refusal(sealed_bundle: SealedBundle) -> None:
    with pytest.raises(RefusedError) as refused:
        verify_bundle(sealed_bundle.path, [])
    assert [item.code for item in refused.value.findings] == ["trust-missing"]


def test_all_findings_at_once(sealed_bundle: SealedBundle) -> None:
    root = sealed_bundle.path
    (root / "README.md").write_text("forged")
    (root / "model" / "decoder.onnx.enc").unlink()
    (root / "model" / "more.bin").write_bytes(b"")
    (root / "verify.py").chmod(0o755)
    assert sorted(findings_of(sealed_bundle)) == [
        ("changed-file", "README.md"),
        ("extra-file", "model/more.bin"),
        ("missing-file", "model/decoder.onnx.enc"),
        ("mode-executable", "verify.py"),
    ]


def test_files_are_compared_even_when_the_signature_is_not_trusted(
    sealed_bundle: SealedBundle, master_bundle: SealedBundle
) -> None:
    (sealed_bundle.path / "README.md").write_text("forged")
    signer = sealed_bundle.folder / "another.pem"
    write_key_pair(generate("signing"), signer)
    assert findings_of(sealed_bundle, "another.pub") == [
        ("signer-untrusted", "model.sig"),
        ("changed-file", "README.md"),
    ]


def test_a_foreign_folder_is_one_finding(sealed_bundle: SealedBundle) -> None:
    for number in range(20):
        path = sealed_bundle.path / ".git" / "objects" / f"{number}" / "x"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
    assert findings_of(sealed_bundle) == [("extra-directory", ".git")]


def test_pycache_says_how_to_avoid_it(sealed_bundle: SealedBundle) -> None:
    cache = sealed_bundle.path / "runtime" / "asrpack" / "__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_bytes(b"x")
    with pytest.raises(RefusedError) as refused:
        verify_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    (item,) = refused.value.findings
    assert isinstance(item, Finding)
    assert "PYTHONDONTWRITEBYTECODE" in item.remedy


def test_a_link_is_not_missing_too(sealed_bundle: SealedBundle) -> None:
    readme = sealed_bundle.path / "README.md"
    readme.rename(sealed_bundle.folder / "README.md")
    readme.symlink_to("../README.md")
    assert findings_of(sealed_bundle) == [("symlink", "README.md")]


@pytest.mark.parametrize(("files", "folders"), [(0o600, 0o700), (0o664, 0o775), (0o444, 0o555)])
def test_modes_that_copying_leaves_are_no_fault(
    sealed_bundle: SealedBundle, files: int, folders: int
) -> None:
    for path in sealed_bundle.path.rglob("*"):
        path.chmod(folders if path.is_dir() else files)
    verify_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    for path in sealed_bundle.path.rglob("*"):
        path.chmod(0o2755 if path.is_dir() else 0o644)
    verify_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])


def test_the_bundle_may_be_reached_through_a_link(sealed_bundle: SealedBundle) -> None:
    link = sealed_bundle.folder / "current"
    link.symlink_to("bundle")
    verify_bundle(link, [sealed_bundle.bytes_of("vendor.pub")])


def test_a_file_swapped_after_verification_is_not_read(sealed_bundle: SealedBundle) -> None:
    verified = verify_bundle(sealed_bundle.path, [sealed_bundle.bytes_of("vendor.pub")])
    target = sealed_bundle.path / "model" / "encoder.onnx.enc"
    original = target.read_bytes()
    target.write_bytes(bytes([original[0] ^ 1]) + original[1:])
    with pytest.raises(RefusedError, match="changed since"):
        verified.read("model/encoder.onnx.enc")
    target.unlink()
    target.symlink_to("/etc/hostname")
    with pytest.raises(RefusedError):
        verified.read("model/encoder.onnx.enc")
    target.unlink()
    os.mkfifo(target)  # must not wait for a writer
    with pytest.raises(RefusedError):
        verified.read("model/encoder.onnx.enc")
    with pytest.raises(RefusedError):
        verified.read("../vendor.pem")


def test_reading_follows_no_link(sealed_bundle: SealedBundle) -> None:
    root, elsewhere = sealed_bundle.path, sealed_bundle.folder / "elsewhere"
    verified = verify_bundle(root, [sealed_bundle.bytes_of("vendor.pub")])
    shutil.copytree(root / "model", elsewhere)
    target = root / "model" / "envelope.json"
    target.unlink()
    target.symlink_to(elsewhere / "envelope.json")  # the same bytes, still a link
    with pytest.raises(RefusedError):
        verified.read("model/envelope.json")
    shutil.rmtree(root / "model")
    (root / "model").symlink_to(elsewhere)
    with pytest.raises(RefusedError):
        verified.read("model/envelope.json")


def test_a_file_that_grows_while_read_is_not_endless(
    sealed_bundle: SealedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "MAX_FILE", 1000)
    codes = {code for code, _ in findings_of(sealed_bundle)}
    assert codes == {"too-large"}


def test_too_many_files_end_the_walk(
    sealed_bundle: SealedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "MAX_FILES", 4)
    assert ("too-many-files", None) in findings_of(sealed_bundle)


def test_findings_are_bounded(sealed_bundle: SealedBundle) -> None:
    for number in range(verify.MAX_FINDINGS + 50):
        (sealed_bundle.path / f"link{number}").symlink_to("x")
    assert len(findings_of(sealed_bundle)) == verify.MAX_FINDINGS


def test_main_tells_places_apart(
    sealed_bundle: SealedBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = str(sealed_bundle.folder / "vendor.pub")
    assert verify.main([str(sealed_bundle.path), "--trust", trust]) == 0
    assert "verified" in capsys.readouterr().out
    assert verify.main([str(sealed_bundle.folder / "none"), "--trust", trust]) == 3
    assert verify.main([str(sealed_bundle.path), "--trust", trust + "x"]) == 7
    private = str(sealed_bundle.folder / "vendor.pem")
    assert verify.main([str(sealed_bundle.path), "--trust", private]) == 7
    assert "private key" in capsys.readouterr().err
    recipient = str(sealed_bundle.folder / "old.pub")
    assert verify.main([str(sealed_bundle.path), "--trust", recipient]) == 7
    with pytest.raises(SystemExit) as stop:
        verify.main([str(sealed_bundle.path)])
    assert stop.value.code == 2


def test_an_error_without_findings_never_passes(
    sealed_bundle: SealedBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RefusedError([])

    monkeypatch.setattr(verify, "verify_bundle", refuse)
    trust = str(sealed_bundle.folder / "vendor.pub")
    assert verify.main([str(sealed_bundle.path), "--trust", trust]) == 6


def test_p384_signs_and_verifies(sealed_bundle: SealedBundle) -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    sign_tree(sealed_bundle.path, signing_private(pem, "p384"), "digits")
    verify_bundle(sealed_bundle.path, [public])


ALLOWED = ["a", ".dockerignore", "a/b.c", "x-1.0+cpu-py3-none-any.whl", "数字/模型.onnx", "a b"]
ALLOWED += ["auxiliary", "com", "null.txt"]
FORBIDDEN = [
    "",
    "/",
    "a/",
    "./a",
    "a/.",
    "..",
    "\\",
    "\ud800",
    "con",
    "AUX.txt",
    "com1",
    "a ",
    " a",
]
FORBIDDEN += [
    "a/" * 33 + "a",
    "a\n",
    "a\x7f",
    "a\u200b",
    "a\ue000",
    "e\u0301",
    "a" * 1025,
    "nul .x",
    "\u1680",
]


@pytest.mark.parametrize("name", ALLOWED)
def test_names_allowed(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize("name", FORBIDDEN)
def test_names_refused(name: str) -> None:
    assert name_fault(name) is not None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"a":1,"a":1}', "json-duplicate-key"),
        (b'[{"a":{"b":1,"\\u0062":2}}]', "json-duplicate-key"),
        (b"Infinity", "json-number"),
        (b"-9007199254740992", "json-number"),
        (b"1e3", "json-number"),
        (b"1" * 5000, "json-number"),
        (b'"\\ud800"', "json-encoding"),
        (b'"\\uDFFF"', "json-encoding"),
        (b'"\xc3\x28"', "json-encoding"),
        (b'"a\nb"', "json-syntax"),
        (b"{} x", "json-trailing"),
        (b"", "json-syntax"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, "json-depth"),
        (b'"' + b"a" * (5 << 20) + b'"', "json-size"),
        (b"[" + b"[]," * 200_000 + b"[]]", "json-values"),
        (b'"' + b"\\n" * 200_001 + b'"', "json-values"),
        (b'"' + b'\\"' * 100_000, "json-syntax"),
        (b"[" * 16 + b'"' + b"\\u005b" * 1000 + b'",' + b"[" * 17, "json-depth"),
    ],
)
def test_json_refused(text: bytes, code: str) -> None:
    with pytest.raises(FormatError) as error:
        strict_json(text)
    assert error.value.code == code


def test_brackets_in_strings_are_no_nesting() -> None:
    text = '"\\"' + "[" * 100 + '\\\\"'
    assert strict_json(text.encode()) == '"' + "[" * 100 + "\\"


@pytest.mark.timeout(60)
def test_a_key_given_twice_among_many_is_found_at_once() -> None:
    """In time linear in their number: comparing pairs takes minutes."""
    fields = ",".join(f'"{number}":1' for number in range(100_000))
    with pytest.raises(FormatError, match="'99999' twice"):
        strict_json(f'{{{fields},"99999":1}}'.encode())


def test_a_message_does_not_repeat_a_megabyte() -> None:
    name = "a" * (1 << 20)
    with pytest.raises(FormatError) as error:
        strict_json(f'{{"{name}":1,"{name}":1}}'.encode())
    assert len(str(error.value)) < 1000


def test_canonical_json() -> None:
    value = {"b": [1, True, None], "a": 'é\u2028\n"', "B": {}}
    assert canonical_json(value) == b'{"B":{},"a":"\xc3\xa9\xe2\x80\xa8\\n\\"","b":[1,true,null]}'


def test_a_copy_of_a_bundle_verifies(sealed_bundle: SealedBundle, tmp_path: Path) -> None:
    copy = tmp_path / "renamed by the customer"
    shutil.copytree(sealed_bundle.path, copy)
    verify_bundle(copy, [sealed_bundle.bytes_of("vendor.pub")])
