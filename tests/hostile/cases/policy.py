"""What a host's trust policy asks besides a signature: group 4's and 6's part of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from asrpack.bundle.keys import Key, any_signing_private, public_pem
from asrpack.bundle.verify import canonical_json
from asrpack.protect.keys import generate
from asrpack.protect.sign import countersign, envelope, signature_path
from asrpack.protect.trust import (
    add_signer,
    advance,
    new_policy,
    policy_bytes,
    require_countersigner,
    require_created,
    revoke,
)
from tests.hostile.bundles import CREATED, SealedBundle, read_payload, vendor_key
from tests.hostile.case import KEY, PINNED, Case
from tests.hostile.edits import METADATA, edit_json, then_signed

Edit = Callable[[SealedBundle, dict[str, Any]], object]
Act = Callable[[SealedBundle], object]


@cache
def lattice() -> Key:
    """The vendor's post-quantum key."""
    return any_signing_private(generate("signing-pq"), "vendor.mldsa")


@cache
def other_lattice() -> Key:
    return any_signing_private(generate("signing-pq"), "other.mldsa")


@cache
def security() -> Key:
    """Of the customer's security team."""
    return any_signing_private(generate("signing"), "security")


def _policy(sealed: SealedBundle, edit: Edit, **terms: Any) -> None:
    document = new_policy()
    add_signer(document, "vendor", sealed.bytes_of("vendor.pub"), **terms)
    edit(sealed, document)
    (sealed.folder / "policy.json").write_bytes(policy_bytes(document))


def _case(name: str, edit: Edit, code: str, act: Act = lambda sealed: None, **terms: Any) -> Case:
    def make(sealed: SealedBundle) -> None:
        act(sealed)
        _policy(sealed, edit, **terms)

    return Case(name, make, code, by=PINNED, trust="policy.json")


def _no_more(sealed: SealedBundle, document: dict[str, Any]) -> None:
    """The vendor is trusted, and that is all."""


def _sign(key: Callable[[], Key]) -> Act:
    return lambda sealed: countersign(sealed.path, key(), [sealed.bytes_of("vendor.pub")])


def _further(key: Callable[[], Key], data: Callable[[Path], bytes]) -> Act:
    """A file in the place of a signature by ``key``."""

    def act(sealed: SealedBundle) -> None:
        path = signature_path(sealed.path, key())
        path.parent.mkdir()
        path.write_bytes(data(sealed.path))

    return act


def _over(payload: Callable[[bytes], bytes], by: Callable[[], Key]) -> Callable[[Path], bytes]:
    def make(bundle: Path) -> bytes:
        return canonical_json(envelope(payload(read_payload(bundle)), by().handle))

    return make


def _changed(by: Callable[[], Key], change: Callable[[dict[str, Any]], None]) -> Any:
    def make(bundle: Path) -> bytes:
        raw = envelope(read_payload(bundle), by().handle)
        change(raw)
        return canonical_json(raw)

    return make


def _same(payload: bytes) -> bytes:
    return payload


def _vendors_again(bundle: Path) -> bytes:
    return (bundle / "model.sig").read_bytes()


def _cut(raw: dict[str, Any]) -> None:
    raw["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"


def _zeros(raw: dict[str, Any]) -> None:
    raw["dsseEnvelope"]["signatures"][0]["sig"] = "A" * (3309 // 3 * 4)


def _vendor_hint(raw: dict[str, Any]) -> None:
    raw["verificationMaterial"]["publicKey"]["hint"] = "0" * 64


def _revoked_vendor(sealed: SealedBundle, document: dict[str, Any]) -> None:
    revoke(document, vendor_key(sealed.path).fingerprint)


def _revoked_bundle(sealed: SealedBundle, document: dict[str, Any]) -> None:
    revoke(document, json.loads((sealed.path / METADATA).read_bytes())["bundle_id"])


def _countersigned(sealed: SealedBundle, document: dict[str, Any]) -> None:
    require_countersigner(document, "security", public_pem(security()))


def _metadata(**fields: Any) -> Act:
    return lambda sealed: then_signed(edit_json(METADATA, lambda raw: raw.update(fields)))(
        sealed.path
    )


def _seventeen(sealed: SealedBundle) -> None:
    folder = sealed.path / "signatures"
    folder.mkdir()
    for number in range(17):
        (folder / f"{number:064x}.sig").write_bytes(_vendors_again(sealed.path))


def _replaced(sealed: SealedBundle, document: dict[str, Any]) -> None:
    """Another signer in the vendor's place."""
    document["signers"].clear()
    add_signer(document, "other", public_pem(security()))


_LATTICE = {"post_quantum": None}


def _pq(name: str, code: str, act: Act = lambda sealed: None) -> Case:
    """The vendor must have signed with ML-DSA, too."""

    def make(sealed: SealedBundle) -> None:
        act(sealed)
        _policy(sealed, _no_more, post_quantum=public_pem(lattice()))

    return Case(f"post-quantum: {name}", make, code, by=PINNED, trust="policy.json")


def _given(name: str, file: str, code: str) -> Case:
    """What is given as the vendor's key is something else."""
    return Case(f"trusted: {name}", lambda sealed: None, code, by=PINNED, exit_code=KEY, trust=file)


def _lattice_alone(sealed: SealedBundle) -> None:
    (sealed.folder / "policy.json").write_bytes(public_pem(lattice()))


def _document(edit: Callable[[dict[str, Any]], object]) -> Act:
    def act(sealed: SealedBundle) -> None:
        document = new_policy()
        add_signer(document, "vendor", sealed.bytes_of("vendor.pub"))
        edit(document)
        (sealed.folder / "policy.json").write_bytes(policy_bytes(document))

    return act


def _bad_policy(name: str, edit: Callable[[dict[str, Any]], object], code: str) -> Case:
    return Case(
        f"policy: {name}", _document(edit), code, by=PINNED, exit_code=KEY, trust="policy.json"
    )


CASES = [
    _pq("stripped", "post-quantum-missing"),
    _pq("of another key", "post-quantum-missing", _sign(other_lattice)),
    _pq("of another key, under its name", "signature-invalid",
        _further(lattice, _changed(other_lattice, lambda raw: None))),
    _pq("over another statement", "signature-statement",
        _further(lattice, _over(lambda payload: payload + b" ", lattice))),
    _pq("zeros", "signature-invalid", _further(lattice, _changed(lattice, _zeros))),
    _pq("no signature", "signature-encoding", _further(lattice, _changed(lattice, _cut))),
    _pq("another hint", "signature-hint", _further(lattice, _changed(lattice, _vendor_hint))),
    _pq("the vendor's other signature again", "signature-invalid",
        _further(lattice, _vendors_again)),
    _pq("empty", "json-syntax", _further(lattice, lambda bundle: b"")),
    _pq("two keys, one stripped", "post-quantum-missing", _sign(security)),
    _case("countersignature missing", _countersigned, "countersignature-missing"),
    _case("countersignature by another, under its name", _countersigned, "signature-invalid",
          _further(security, _vendors_again)),
    _case("a signature by a stranger", _no_more, "signature-unknown", _sign(security)),
    _case("17 signatures", _no_more, "too-many-signatures", _seventeen),
    _case("signed by a revoked key", _revoked_vendor, "signer-revoked"),
    _case("a revoked bundle", _revoked_bundle, "bundle-revoked"),
    _case("signed by another than the policy's", _replaced, "signer-untrusted"),
    _case("nobody is trusted", lambda sealed, document: document["signers"].clear(),
          "trust-missing"),
    _case("rolled back", lambda sealed, document: advance(document, "digits", CREATED + 1),
          "rolled-back"),
    _case("rolled back by far", lambda s, document: advance(document, "digits", 2**53 - 1),
          "rolled-back"),
    _case("rolled back to 0", lambda s, document: advance(document, "digits", 1),
          "rolled-back", _metadata(sequence=0)),
    _case("too old", lambda sealed, document: require_created(document, None, "1"),
          "bundle-too-old"),
    _case("older than a date", lambda s, document: require_created(document, "2030-01-01", None),
          "bundle-too-old"),
    _case("from the future", lambda sealed, document: require_created(document, None, "1"),
          "created-in-future", _metadata(created="2999-01-01T00:00:00Z")),
    _case("before the key's time", _no_more, "signer-not-yet", not_before="2030-01-01"),
    _case("after the key's time", _no_more, "signer-retired", not_after="2020-01-01"),
    _case("metadata without a sequence", _no_more, "metadata-format",
          lambda sealed: then_signed(
              edit_json(METADATA, lambda raw: raw.pop("sequence")))(sealed.path)),
    _case("metadata with a false time", _no_more, "metadata-format",
          _metadata(created="2026-13-01T00:00:00Z")),
    _case("metadata with sequence true", _no_more, "metadata-format", _metadata(sequence=True)),
    _given("a private key", "vendor.pem", "key-format"),
    _given("a recipient's key", "old.pub", "key-format"),
    _given("an X-Wing key", "customer.pub", "key-format"),
    _given("a signature", "bundle/model.sig", "trust-format"),
    _given("nothing", "none", "trust-unreadable"),
    _given("a folder", "bundle", "trust-unreadable"),
    Case("trusted: a post-quantum key alone", _lattice_alone, "key-format", by=PINNED,
         exit_code=KEY, trust="policy.json"),
    _bad_policy("of another version", lambda d: d.update(format="asrpack-trust/2"), "trust-format"),
    _bad_policy("a field more", lambda d: d.update(allow_all=True), "trust-format"),
    _bad_policy("a key twice", lambda d: d["signers"].append(d["signers"][0] | {"name": "x"}),
                "trust-format"),
    _bad_policy("a name twice", lambda d: d["countersigners"].append(
        {"name": "vendor", "key": public_pem(security()).decode()}), "trust-format"),
    _bad_policy("65 signers", lambda d: d["signers"].extend(d["signers"] * 64), "trust-format"),
    _bad_policy("a name that turns lines around",
                lambda d: d["signers"][0].update(name="\u202ev"), "trust-format"),
    _bad_policy("a key that is none", lambda d: d["signers"][0].update(key="x"), "key-format"),
    _bad_policy("a post-quantum key that is none", lambda d: d["signers"][0].update(
        post_quantum=public_pem(security()).decode()), "trust-format"),
    _bad_policy("a revoked key by a word", lambda d: d["revoked"]["keys"].append("vendor"),
                "trust-format"),
    _bad_policy("a sequence as text", lambda d: d["minimum_sequence"].update(digits="1"),
                "trust-format"),
    _bad_policy("a negative sequence", lambda d: d["minimum_sequence"].update(digits=-1),
                "trust-format"),
    _bad_policy("an age of no days", lambda d: d.update(maximum_age_days=0), "trust-format"),
    _bad_policy("a date that is none", lambda d: d.update(created_since="2026-02-30T00:00:00Z"),
                "trust-format"),
]  # fmt: skip
