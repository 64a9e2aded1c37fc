"""Ways to break a bundle in place. Each gives what takes the bundle's directory.

Those that sign need the vendor's private key at ``bundle.parent / "vendor.pem"``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asrpack.bundle.verify import canonical_json, root_digest
from asrpack.protect.sign import sign_tree
from tests.hostile.bundles import edit_signature, edit_statement, read_payload, sign_payload
from tests.hostile.bundles import vendor_key as vendor_key

Break = Callable[[Path], None]
Change = Callable[[bytes], bytes]

ENCODER = "model/encoder.onnx.enc"
DECODER = "model/decoder.onnx.enc"
ENVELOPE = "model/envelope.json"
METADATA = "asrpack.json"


def flip(name: str, offset: int) -> Break:
    """One bit of a file."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[offset] ^= 1
        return bytes(changed)

    return rewrite(name, change)


def rewrite(name: str, change: Change) -> Break:
    """A file's contents."""

    def act(bundle: Path) -> None:
        (bundle / name).write_bytes(change((bundle / name).read_bytes()))

    return act


def remove(name: str) -> Break:
    return lambda bundle: (bundle / name).unlink()


def add(name: str | bytes, data: bytes = b"x") -> Break:
    """A file more; its name may be no UTF-8."""

    def act(bundle: Path) -> None:
        path = bundle / (name if isinstance(name, str) else name.decode(errors="surrogateescape"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return act


def exchange(first: str, second: str) -> Break:
    """Two files' contents."""

    def act(bundle: Path) -> None:
        data = (bundle / first).read_bytes()
        (bundle / first).write_bytes((bundle / second).read_bytes())
        (bundle / second).write_bytes(data)

    return act


def replaced(name: str, make: Callable[[Path], object]) -> Break:
    """A file by something else in its place."""

    def act(bundle: Path) -> None:
        (bundle / name).unlink()
        make(bundle / name)

    return act


def resign(bundle: Path) -> None:
    """The vendor signs the directory as it is now."""
    subject = json.loads(read_payload(bundle))["subject"][0]["name"]
    sign_tree(bundle, vendor_key(bundle), subject)


def then_signed(act: Callable[[Path], object]) -> Break:
    """The vendor signs what was broken."""

    def both(bundle: Path) -> None:
        act(bundle)
        resign(bundle)

    return both


def edit_json(name: str, change: Callable[[Any], object]) -> Break:
    """Fields of a file of canonical JSON."""

    def act(data: bytes) -> bytes:
        raw = json.loads(data)
        change(raw)
        return canonical_json(raw)

    return rewrite(name, act)


def outer(change: Callable[[dict[str, Any]], object]) -> Break:
    """Fields of ``model.sig``, signing nothing."""
    return lambda bundle: edit_signature(bundle, change)


def dsse(**fields: Any) -> Break:
    """Fields of the DSSE envelope in ``model.sig``."""
    return outer(lambda raw: raw["dsseEnvelope"].update(fields))


def signature_bytes(change: Change) -> Break:
    """The signature itself."""

    def act(raw: dict[str, Any]) -> None:
        entry = raw["dsseEnvelope"]["signatures"][0]
        entry["sig"] = base64.b64encode(change(base64.b64decode(entry["sig"]))).decode()

    return outer(act)


def statement(change: Callable[[dict[str, Any]], object]) -> Break:
    """The vendor signs a statement that was changed in one way."""
    return lambda bundle: edit_statement(bundle, change)


def statement_text(change: Change) -> Break:
    """The vendor signs a statement that was changed as text."""
    return lambda bundle: sign_payload(bundle, change(read_payload(bundle))) and None


def resources(change: Callable[[list[Any]], object]) -> Break:
    """The vendor signs another list of files, with the root digest that it has."""

    def act(raw: dict[str, Any]) -> None:
        change(raw["predicate"]["resources"])
        fix_root(raw)

    return statement(act)


def listed(*names: str) -> Break:
    """The vendor signs a list with files of these names, too."""

    def act(items: list[Any]) -> None:
        items += [{"algorithm": "sha256", "digest": "0" * 64, "name": name} for name in names]
        items.sort(key=lambda item: item["name"])

    return resources(act)


def fix_root(raw: dict[str, Any]) -> None:
    """Puts the root digest of a statement right."""
    digests = {item["name"]: item["digest"] for item in raw["predicate"]["resources"]}
    raw["subject"][0]["digest"]["sha256"] = root_digest(digests)


def unsigned_edit(bundle: Path) -> None:
    """A changed file and its new digest in the statement, under the old signature."""
    (bundle / "README.md").write_bytes(b"forged")
    raw = json.loads(read_payload(bundle))
    for item in raw["predicate"]["resources"]:
        if item["name"] == "README.md":
            item["digest"] = hashlib.sha256(b"forged").hexdigest()
    fix_root(raw)
    payload = base64.b64encode(canonical_json(raw)).decode()
    dsse(payload=payload)(bundle)
