"""Bundles with one thing wrong: ``FAULTS`` is (name, what breaks it, code of the finding).

Each function gets the directory of a sound bundle and breaks it in place. Those that sign need
the vendor's private key at ``bundle.parent / "vendor.pem"``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from asrpack.bundle.keys import signing_private
from asrpack.bundle.verify import canonical_json, root_digest
from asrpack.protect.keys import generate
from asrpack.protect.sign import statement as make_statement
from tests.hostile.bundles import (
    edit_signature,
    edit_statement,
    read_payload,
    sign_payload,
    vendor_key,
)

Break = Callable[[Path], None]
ENCODER = "model/encoder.onnx.enc"
DECODER = "model/decoder.onnx.enc"


def _flip(name: str, offset: int) -> Break:
    def act(bundle: Path) -> None:
        data = bytearray((bundle / name).read_bytes())
        data[offset] ^= 1
        (bundle / name).write_bytes(data)

    return act


def _rewrite(name: str, change: Callable[[bytes], bytes]) -> Break:
    def act(bundle: Path) -> None:
        (bundle / name).write_bytes(change((bundle / name).read_bytes()))

    return act


def _swap(bundle: Path) -> None:
    first, second = (bundle / ENCODER).read_bytes(), (bundle / DECODER).read_bytes()
    (bundle / ENCODER).write_bytes(second)
    (bundle / DECODER).write_bytes(first)


def _remove(name: str) -> Break:
    return lambda bundle: (bundle / name).unlink()


def _rename(old: str, new: str) -> Break:
    def act(bundle: Path) -> None:
        (bundle / old).rename(bundle / new)

    return act


def _add(name: str, data: bytes = b"x") -> Break:
    def act(bundle: Path) -> None:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_bytes(data)

    return act


def _symlink_file(bundle: Path) -> None:
    target = bundle.parent / "elsewhere.enc"
    (bundle / ENCODER).rename(target)
    (bundle / ENCODER).symlink_to(target)


def _symlink_directory(bundle: Path) -> None:
    (bundle / "model").rename(bundle.parent / "model-elsewhere")
    (bundle / "model").symlink_to(bundle.parent / "model-elsewhere")


def _socket(bundle: Path) -> None:
    here = Path.cwd()
    os.chdir(bundle)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)


def _file_to_directory(bundle: Path) -> None:
    (bundle / "README.md").unlink()
    (bundle / "README.md").mkdir()
    (bundle / "README.md" / "x").write_bytes(b"x")


def _deep(bundle: Path) -> None:
    path = bundle / "/".join(["d"] * 40)
    path.mkdir(parents=True)
    (path / "x").write_bytes(b"x")


def _other_key(*, same_hint: bool) -> Break:
    def act(bundle: Path) -> None:
        hint = json.loads((bundle / "model.sig").read_bytes())["verificationMaterial"]
        other = signing_private(generate("signing"), "other")
        outer = sign_payload(bundle, read_payload(bundle), other)
        if same_hint:
            outer["verificationMaterial"] = hint
            (bundle / "model.sig").write_bytes(canonical_json(outer))

    return act


def _other_curve(bundle: Path) -> None:
    handle = ec.generate_private_key(ec.SECP384R1())
    key = type(vendor_key(bundle))("signing", "ecdsa-p384", True, b"", handle)
    sign_payload(bundle, read_payload(bundle), key)


def _change_signature(change: Callable[[bytes], bytes]) -> Break:
    def act(outer: dict[str, Any]) -> None:
        entry = outer["dsseEnvelope"]["signatures"][0]
        entry["sig"] = base64.b64encode(change(base64.b64decode(entry["sig"]))).decode()

    return lambda bundle: edit_signature(bundle, act)


def _next_s(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, s + 1)


def _unsigned_edit(bundle: Path) -> None:
    """A changed file and its new digest in the statement, under the old signature."""
    (bundle / "README.md").write_bytes(b"forged")
    statement = json.loads(read_payload(bundle))
    resources = statement["predicate"]["resources"]
    for item in resources:
        if item["name"] == "README.md":
            item["digest"] = hashlib.sha256(b"forged").hexdigest()
    _fix_root(statement)
    payload = base64.b64encode(canonical_json(statement)).decode()
    edit_signature(bundle, lambda outer: outer["dsseEnvelope"].update(payload=payload))


def _wrong_pae(bundle: Path) -> None:
    payload = read_payload(bundle)
    kind = b"application/vnd.in-toto+json"
    text = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload) + 1, payload)
    signature = vendor_key(bundle).handle.sign(text, ec.ECDSA(hashes.SHA256()))
    _change_signature(lambda _: signature)(bundle)


def _set_envelope(**fields: Any) -> Break:
    return lambda bundle: edit_signature(bundle, lambda o: o["dsseEnvelope"].update(fields))


def _two_signatures(bundle: Path) -> None:
    edit_signature(bundle, lambda o: o["dsseEnvelope"]["signatures"].extend(
        o["dsseEnvelope"]["signatures"]
    ))  # fmt: skip


def _signed_text(change: Callable[[bytes], bytes]) -> Break:
    """The vendor signs a payload that was changed as text."""
    return lambda bundle: sign_payload(bundle, change(read_payload(bundle))) and None


def _fix_root(statement: dict[str, Any]) -> None:
    digests = {item["name"]: item["digest"] for item in statement["predicate"]["resources"]}
    statement["subject"][0]["digest"]["sha256"] = root_digest(digests)


def _signed(change: Callable[[dict[str, Any]], None]) -> Break:
    """The vendor signs a statement that was changed in one way."""
    return lambda bundle: edit_statement(bundle, change)


def _listed(name: str) -> Break:
    """The vendor signs a list with a file of this name."""

    def change(statement: dict[str, Any]) -> None:
        item = {"algorithm": "sha256", "digest": "0" * 64, "name": name}
        resources = statement["predicate"]["resources"]
        resources.append(item)
        resources.sort(key=lambda item: item["name"])
        _fix_root(statement)

    return _signed(change)


def _digest(text: str, algorithm: str = "sha256") -> Break:
    def change(statement: dict[str, Any]) -> None:
        statement["predicate"]["resources"][0].update(digest=text, algorithm=algorithm)

    return _signed(change)


def _serialization(**fields: Any) -> Break:
    return _signed(lambda s: s["predicate"]["serialization"].update(fields))


def _other_product(bundle: Path) -> None:
    """Something else that the same vendor signed, well-formed but no bundle."""
    (bundle / "asrpack.json").unlink()
    digests = {
        path.relative_to(bundle).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in bundle.rglob("*")
        if path.is_file() and path.name != "model.sig"
    }
    sign_payload(bundle, canonical_json(make_statement("other", digests)))


FAULTS: list[tuple[str, Break, str]] = [
    ("flip a bit of the encoder", _flip(ENCODER, 20_000), "changed-file"),
    ("flip a bit of the salt", _flip(ENCODER, 0), "changed-file"),
    ("flip a bit of the metadata", _flip("asrpack.json", 40), "changed-file"),
    ("flip a bit of the envelope", _flip("model/envelope.json", 200), "changed-file"),
    ("flip a bit of the code", _flip("runtime/asrpack/__init__.py", 3), "changed-file"),
    ("cut a byte off", _rewrite(ENCODER, lambda data: data[:-1]), "changed-file"),
    ("cut at a chunk's boundary", _rewrite(ENCODER, lambda d: d[: 56 + 16400]), "changed-file"),
    ("empty a file", _rewrite("README.md", lambda data: b""), "changed-file"),
    ("append a byte", _rewrite(ENCODER, lambda data: data + b"\0"), "changed-file"),
    ("swap encoder and decoder", _swap, "changed-file"),
    ("sparse terabyte", lambda bundle: os.truncate(bundle / ENCODER, 1 << 40), "too-large"),
    ("remove the decoder", _remove(DECODER), "missing-file"),
    ("remove the signature", _remove("model.sig"), "signature-missing"),
    ("remove a folder", lambda b: shutil.rmtree(b / "runtime"), "missing-file"),
    ("rename a file", _rename("README.md", "README.txt"), "missing-file"),
    ("rename by case", _rename("README.md", "readme.md"), "missing-file"),
    ("file replaced by a folder", _file_to_directory, "missing-file"),
    ("add a file", _add("model/extra.bin"), "extra-file"),
    ("add a hidden file", _add(".hidden"), "extra-file"),
    ("add a .pth file", _add("runtime/evil.pth", b"import os"), "extra-file"),
    ("add a name that turns lines around", _add("runtime/\u202egpj.py"), "extra-file"),
    ("add __pycache__", _add("runtime/asrpack/__pycache__/x.pyc"), "extra-directory"),
    ("add .git", _add(".git/HEAD"), "extra-directory"),
    ("add a deep tree", _deep, "too-deep"),
    ("add an empty folder", lambda bundle: (bundle / "logs").mkdir(), "empty-directory"),
    ("symbolic link to the file", _symlink_file, "symlink"),
    ("symbolic link to the folder", _symlink_directory, "symlink"),
    ("symbolic link to nowhere", lambda b: (b / "link").symlink_to("/nowhere"), "symlink"),
    ("symbolic link to itself", lambda b: (b / "loop").symlink_to("loop"), "symlink"),
    ("hard link", lambda b: (b.parent / "l").hardlink_to(b / "README.md"), "hard-link"),
    ("fifo", lambda bundle: os.mkfifo(bundle / "fifo"), "special-file"),
    ("socket", _socket, "special-file"),
    ("setuid", lambda bundle: (bundle / "verify.py").chmod(0o4644), "mode-special"),
    ("everyone may write", lambda b: (b / ENCODER).chmod(0o646), "mode-world-writable"),
    ("everyone may write a folder", lambda b: (b / "model").chmod(0o777), "mode-world-writable"),
    ("executable", lambda bundle: (bundle / "verify.py").chmod(0o755), "mode-executable"),
    ("signed by another key", _other_key(same_hint=False), "signer-untrusted"),
    ("another key with the right hint", _other_key(same_hint=True), "signature-invalid"),
    ("signed on another curve", _other_curve, "signer-untrusted"),
    ("signature changed", _change_signature(_next_s), "signature-invalid"),
    ("statement changed, not signed", _unsigned_edit, "signature-invalid"),
    ("signed with a wrong length", _wrong_pae, "signature-invalid"),
    ("bytes after the signature", _change_signature(lambda s: s + b"\0"), "signature-encoding"),
    ("signature is no DER", _change_signature(lambda s: b"\x30\x00"), "signature-encoding"),
    ("two signatures", _two_signatures, "signature-count"),
    ("no signature", _set_envelope(signatures=[]), "signature-count"),
    ("another payload type", _set_envelope(payloadType="text/plain"), "signature-payload-type"),
    ("base64 with a line end", _set_envelope(payload="e30=\n"), "signature-encoding"),
    ("base64 with spare bits", _set_envelope(payload="e31="), "signature-encoding"),
    (
        "another media type",
        lambda bundle: edit_signature(bundle, lambda o: o.update(mediaType="x")),
        "signature-media-type",
    ),
    (
        "a field too many",
        lambda bundle: edit_signature(bundle, lambda o: o.update(more=1)),
        "signature-format",
    ),
    (
        "signature by certificate",
        lambda b: edit_signature(b, lambda o: o.update(verificationMaterial={"certificate": {}})),
        "signature-format",
    ),
    ("empty signature file", _rewrite("model.sig", lambda data: b""), "json-syntax"),
    (
        "key twice in the signature file",
        _rewrite("model.sig", lambda data: data[:-1] + b',"mediaType":"x"}'),
        "json-duplicate-key",
    ),
    ("byte order mark", _rewrite("model.sig", lambda d: b"\xef\xbb\xbf" + d), "json-bom"),
    ("no UTF-8", _rewrite("model.sig", lambda data: data[:-2] + b"\xff}"), "json-encoding"),
    ("something after the JSON", _rewrite("model.sig", lambda d: d + b"{}"), "json-trailing"),
    ("white space", _rewrite("model.sig", lambda data: data + b"\n"), "json-not-canonical"),
    ("nested JSON", _rewrite("model.sig", lambda d: b"[" * 100_000), "json-depth"),
    ("huge signature file", _rewrite("model.sig", lambda d: b" " * (5 << 20)), "too-large"),
    ("NaN", _signed_text(lambda p: p[:-1] + b',"x":NaN}'), "json-number"),
    ("2**53", _signed_text(lambda p: p[:-1] + b',"x":9007199254740992}'), "json-number"),
    (
        "key twice in the statement",
        _signed_text(lambda p: p[:-1] + b',"_type":"x"}'),
        "json-duplicate-key",
    ),
    ("statement with white space", _signed_text(lambda p: p + b" "), "json-not-canonical"),
    ("another statement type", _signed(lambda s: s.update(_type="x")), "statement-type"),
    (
        "deprecated predicate",
        _signed(lambda s: s.update(predicateType="https://model_signing/Digests/v0.1")),
        "predicate-type",
    ),
    (
        "a field too many in the predicate",
        _signed(lambda s: s["predicate"].update(more=1)),
        "statement-format",
    ),
    ("MD5", _digest("0" * 32, "md5"), "manifest-digest"),
    ("upper-case digest", _digest("A" * 64), "manifest-digest"),
    ("short digest", _digest("a" * 63), "manifest-digest"),
    (
        "a file listed twice",
        _signed(
            lambda s: s["predicate"]["resources"].insert(0, s["predicate"]["resources"][0].copy())
        ),
        "manifest-duplicate",
    ),
    (
        "files not in order",
        _signed(lambda s: s["predicate"]["resources"].reverse()),
        "manifest-order",
    ),
    ("links allowed", _serialization(allow_symlinks=True), "manifest-serialization"),
    ("files ignored", _serialization(ignore_paths=["model"]), "manifest-serialization"),
    (
        "another root digest",
        _signed(lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)),
        "manifest-root-digest",
    ),
    ("name with ..", _listed("../x"), "manifest-name"),
    ("name with .. inside", _listed("a/../b"), "manifest-name"),
    ("absolute name", _listed("/etc/passwd"), "manifest-name"),
    ("name with //", _listed("a//b"), "manifest-name"),
    ("name with backslash", _listed("a\\b"), "manifest-name"),
    ("name with NUL", _listed("a\0b"), "manifest-name"),
    ("name of a drive", _listed("C:x"), "manifest-name"),
    ("name with bidirectional control", _listed("a\u202eb"), "manifest-name"),
    ("name not normalised", _listed("e\u0301"), "manifest-name"),
    ("name of a device", _listed("runtime/aux.py"), "manifest-name"),
    ("name ending in a dot", _listed("a."), "manifest-name"),
    ("name too long", _listed("a" * 256), "manifest-name"),
    ("names differing in case", _listed("readme.MD"), "manifest-name-case"),
    ("the signature in its own list", _listed("model.sig"), "manifest-name"),
    ("another product of the vendor", _other_product, "not-a-bundle"),
]
