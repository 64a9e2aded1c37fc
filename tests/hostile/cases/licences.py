"""Licences: documents that carry the keys of a bundle, so as hostile as one."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from asrpack.bundle.host import HostBinding
from asrpack.bundle.keys import signing_private
from asrpack.bundle.licence_body import DAY, Terms
from asrpack.bundle.verify import canonical_json
from asrpack.protect.keys import generate
from asrpack.protect.licence import issue
from tests.hostile.bundles import SealedBundle
from tests.hostile.case import KEY, RUN, UNPINNED, Case
from tests.licence.vendor import FakeHost, Vendor, read, vendor_of

Make = Callable[[Vendor], bytes]

HOST = HostBinding.of({"machine-id": "abc", "mac": "02:00:00:00:00:01"}, bytes(16), 1)


def _outer(change: Callable[[dict[str, Any]], None]) -> Make:
    """Changes the DSSE envelope, not what is signed."""

    def make(vendor: Vendor) -> bytes:
        outer = json.loads(vendor.issue())
        change(outer)
        return canonical_json(outer)

    return make


def _body(**fields: Any) -> Make:
    """The vendor signs and wraps for a body with these fields."""
    return lambda vendor: vendor.edit(lambda payload: payload["body"].update(fields))


def _without(name: str) -> Make:
    return lambda vendor: vendor.edit(lambda payload: payload["body"].pop(name) and None)


def _host(**fields: Any) -> Make:
    return _body(hosts=[HOST.as_dict() | fields])


def _second(sig: bytes) -> Make:
    entry = {"keyid": "0" * 64, "sig": base64.b64encode(sig).decode()}
    return _outer(lambda outer: outer["signatures"].append(entry))


def _wrapped(change: Callable[[Vendor, bytes], bytes]) -> Make:
    def make(vendor: Vendor) -> bytes:
        def act(payload: dict[str, Any]) -> None:
            found = change(vendor, base64.b64decode(payload["wrapped"]))
            payload["wrapped"] = base64.b64encode(found).decode()

        return vendor.edit(act, rewrap=False)

    return make


def _unsigned_body(vendor: Vendor) -> bytes:
    """Another date under the signature that was made for the old one."""
    outer = json.loads(vendor.issue())
    payload = json.loads(base64.b64decode(outer["payload"]))
    payload["body"]["expires"] = "2036-01-01T00:00:00Z"
    outer["payload"] = base64.b64encode(canonical_json(payload)).decode()
    return canonical_json(outer)


def _signed_dates_only(vendor: Vendor) -> bytes:
    """The vendor signs another date; the keys stay wrapped for the old one."""
    return vendor.edit(
        lambda payload: payload["body"].update(expires="2036-01-01T00:00:00Z"), rewrap=False
    )


def _other_vendor(vendor: Vendor) -> bytes:
    return vendor.issue(signer=signing_private(generate("signing"), "other"))


def _other_vendor_in_its_name(vendor: Vendor) -> bytes:
    outer = json.loads(_other_vendor(vendor))
    outer["signatures"][0]["keyid"] = vendor.signer.fingerprint
    return canonical_json(outer)


def _next_der(outer: dict[str, Any]) -> None:
    entry = outer["signatures"][0]
    entry["sig"] = base64.b64encode(base64.b64decode(entry["sig"]) + b"\0").decode()


_ZERO_ID = "00000000-0000-0000-0000-000000000000"
_REFUSED: list[tuple[str, Make, str]] = [
    ("a field too many", _outer(lambda outer: outer.update(more=1)), "format"),
    ("no signatures", _outer(lambda outer: outer.update(signatures=[])), "signature-count"),
    ("a second ECDSA signature", _second(b"0" * 70), "signature-count"),
    ("the same signature twice", _outer(lambda o: o.update(signatures=o["signatures"] * 2)),
     "signature-count"),
    ("three signatures", _outer(lambda o: o.update(signatures=o["signatures"] * 3)),
     "signature-count"),
    ("payload type of a bundle", _outer(
        lambda outer: outer.update(payloadType="application/vnd.in-toto+json")), "payload-type"),
    ("signed as another type", lambda vendor: vendor.sign(
        read(vendor.issue()).payload(), "application/vnd.in-toto+json"), "payload-type"),
    ("signature of nothing", _outer(
        lambda outer: outer["signatures"][0].update(sig="")), "signature-encoding"),
    ("DER with something behind it", _outer(_next_der), "signature-encoding"),
    ("key id in capitals", _outer(
        lambda outer: outer["signatures"][0].update(keyid="A" * 64)), "format"),
    ("payload not base64", _outer(lambda outer: outer.update(payload="*")), "format"),
    ("body changed, not signed", _unsigned_body, "signature"),
    ("another vendor", _other_vendor, "signer"),
    ("another vendor in this one's name", _other_vendor_in_its_name, "signature"),
    ("payload of another product", lambda vendor: vendor.sign(b'{"hello":"world"}'), "format"),
    ("body of another format", _body(format="asrpack-licence/2"), "format"),
    ("a field missing", _without("grace_days"), "format"),
    ("a field too many in the body", _body(features=[]), "format"),
    ("id not a UUID", _body(licence_id="1"), "format"),
    ("supersedes not a UUID", _body(supersedes="1"), "format"),
    ("bundle id not a UUID", _body(bundle_id="../x"), "format"),
    ("id of version 0", _body(licence_id=_ZERO_ID), "format"),
    ("short digest", _body(manifest="00"), "format"),
    ("customer that turns lines around", _body(customer="\u202eacme"), "format"),
    ("customer over 128 characters", _body(customer="a" * 129), "format"),
    ("unknown KEM", _body(kem="rsa"), "algorithm"),
    ("negative sequence", _body(sequence=-1), "format"),
    ("sequence of 2^53", _body(sequence=2**53), "json-number"),
    ("sequence true", _body(sequence=True), "format"),
    ("negative grace", _body(grace_days=-1), "dates"),
    ("grace of 20 years", _body(grace_days=7300), "dates"),
    ("grace of what has no end", _body(expires=None, grace_days=1), "dates"),
    ("no streams", _body(limits={"streams": 0}), "limits"),
    ("negative streams", _body(limits={"streams": -1}), "limits"),
    ("streams as text", _body(limits={"streams": "4"}), "format"),
    ("a limit too many", _body(limits={"streams": 4, "users": 1}), "format"),
    ("ends as it begins", _body(expires="2026-09-21T13:33:20Z",
                                not_before="2026-09-21T13:33:20Z"), "dates"),
    ("ends before it begins", _body(expires="2001-01-01T00:00:00Z"), "dates"),
    ("the 30th of February", _body(expires="2027-02-30T00:00:00Z"), "dates"),
    ("the year 10000", _body(expires="10000-01-01T00:00:00Z"), "dates"),
    ("grace into the year 10000", _body(
        expires="9999-12-31T23:59:59Z", grace_days=1), "dates"),
    ("the year 1", _body(issued="0001-01-01T00:00:00Z"), "dates"),
    ("before 1970", _body(not_before="1969-12-31T23:59:59Z"), "dates"),
    ("a leap second", _body(expires="2027-01-01T23:59:61Z"), "dates"),
    ("a date with an offset", _body(expires="2027-01-01T00:00:00+01:00"), "dates"),
    ("a date in seconds", _body(expires=1800000000), "format"),
    ("no factors", _host(factors=[], needed=0), "host-format"),
    ("none needed", _host(needed=0), "host-format"),
    ("more needed than there are", _host(needed=3), "host-format"),
    ("a factor twice", _host(factors=[HOST.as_dict()["factors"][0]] * 2), "host-format"),
    ("an unknown factor", _host(
        factors=[{"kind": "hostname", "hmac": "0" * 64}], needed=1), "host-format"),
    ("a short salt", _host(salt="00"), "host-format"),
    ("a short HMAC", _host(factors=[{"kind": "mac", "hmac": "00"}], needed=1), "host-format"),
    ("257 hosts", _body(hosts=[HOST.as_dict()] * 257), "limits"),
    ("keys cut short", _wrapped(lambda vendor, data: data[:-1]), "format"),
    ("no keys", _wrapped(lambda vendor, data: b""), "format"),
    ("keys for 65 files", _wrapped(lambda vendor, data: data + bytes(62 * 32)), "format"),
    ("one key too few", _wrapped(lambda vendor, data: data[:-32]), "wrapped-key"),
    ("a bit of the keys", _wrapped(
        lambda vendor, data: data[:-1] + bytes([data[-1] ^ 1])), "wrapped-key"),
    ("keys of another licence", _wrapped(
        lambda vendor, data: read(vendor.issue()).wrapped), "wrapped-key"),
    ("dates changed by the signer alone", _signed_dates_only, "wrapped-key"),
    ("another recipient", _body(recipient="0" * 64), "recipient"),
    ("another bundle", _body(bundle_id="0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a"), "bundle"),
    ("other contents of the bundle", _body(manifest="0" * 64), "manifest"),
]  # fmt: skip


def _now() -> int:
    return int(time.time())


def _old(vendor: Vendor) -> bytes:
    return vendor.issue(issued=_now() - 40 * DAY)


def _early(vendor: Vendor) -> bytes:
    return vendor.issue(issued=_now(), not_before=_now() + DAY)


def _elsewhere(vendor: Vendor) -> bytes:
    return vendor.issue(issued=_now(), hosts=(HOST,))


def _keys_of_two(vendor: Vendor) -> bytes:
    """Signed and wrapped by the vendor, but with the keys of two files; the bundle has three."""
    return issue(
        Terms("acme", _now(), _now() + DAY), vendor.lock().bundle, bytes(64), vendor.recipient,
        vendor.signer,
    )  # fmt: skip


def _zero_share(vendor: Vendor, data: bytes) -> bytes:
    """X-Wing's X25519 part."""
    return data[:1088] + bytes(32) + data[1120:]


def _used_before(sealed: SealedBundle) -> None:
    """A newer licence was used on this host."""
    vendor, path = vendor_of(sealed), sealed.folder / "licence.json"
    host = FakeHost(sealed.folder.parent / "state", now=_now(), ran=1000.0)
    path.write_bytes(vendor.issue(issued=_now() - 60))
    host.open(path, vendor)
    path.write_bytes(vendor.issue(issued=_now() - DAY))


def _memory_edited(sealed: SealedBundle) -> None:
    """And what the host remembers of it was changed."""
    _used_before(sealed)
    (state,) = (sealed.folder.parent / "state").iterdir()
    raw = json.loads(state.read_bytes())
    raw["body"]["sequence"] = 1
    state.write_bytes(canonical_json(raw))


def _file(make: Callable[[Path], object]) -> Callable[[SealedBundle], object]:
    return lambda sealed: make(sealed.folder / "licence.json")


def _case(name: str, make: Make, code: str) -> Case:
    def act(sealed: SealedBundle) -> None:
        (sealed.folder / "licence.json").write_bytes(make(vendor_of(sealed)))

    return _given(name, act, code)


def _given(name: str, act: Callable[[SealedBundle], object], code: str) -> Case:
    return Case(
        name,
        act,
        f"licence-{code}",
        by=(RUN, UNPINNED),
        exit_code=KEY,
        identity="stranger.key",
    )


_LIFE: list[tuple[str, Make, str]] = [
    ("over", _old, "expired"),
    ("not begun", _early, "not-yet"),
    ("of another host", _elsewhere, "host"),
    ("keys of two files", _keys_of_two, "wrapped-key"),
    ("X25519 share zero", _wrapped(_zero_share), "wrapped-key"),
]

_NO_FILE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "zeros without end": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to("licence.json"),
    "a folder": lambda path: path.mkdir(),
}

CASES = [
    *(_case(*item) for item in _REFUSED),
    *(_case(*item) for item in _LIFE),
    _given("older than one used here", _used_before, "rollback"),
    _given("memory of the host edited", _memory_edited, "state"),
    *(
        # Beside a bundle only a file is taken for its licence.
        replace(_given(name, _file(make), ""), code="identity-not-recipient")
        for name, make in _NO_FILE.items()
    ),
    _given(
        "a terabyte",
        _file(lambda path: (path.touch(), os.truncate(path, 1 << 40))),
        "json-size",
    ),
]
