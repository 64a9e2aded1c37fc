"""Licences as bytes: what is read, and what is refused with its own code."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from asrpack.bundle.host import HostBinding
from asrpack.bundle.keys import Key, recipient_private, recipient_public, signing_private
from asrpack.bundle.licence import LICENCE_TYPE, read_licence, verify_licence
from asrpack.bundle.licence_body import DAY, LicensedBundle, Terms
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.verify import canonical_json
from asrpack.errors import InputError, KeyFileError
from asrpack.protect.keys import generate
from asrpack.protect.licence import issue, open_for_licensing, renew
from tests.hostile.bundles import PLAINTEXTS, SealedBundle, make_bundle
from tests.hostile.test_fuzz import edits
from tests.licence.vendor import NOW, Vendor, public_half, read

quick = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HOST = HostBinding.of({"machine-id": "abc", "mac": "02:00:00:00:00:01"}, bytes(16), 1)


def test_what_is_issued_is_what_is_read(vendor: Vendor) -> None:
    data = vendor.issue(grace_days=14, streams=4, hosts=(HOST,))
    licence = verify_licence(data, [vendor.trust], "licence.json")
    assert licence.terms == Terms("acme", NOW, NOW + 30 * DAY, 14, 4, (HOST,))
    assert licence.bundle == vendor.lock().bundle
    assert (licence.issued, licence.sequence, licence.supersedes) == (NOW, NOW, None)
    assert licence.signer == vendor.signer.fingerprint
    assert licence.recipient == vendor.recipient.fingerprint


@pytest.mark.parametrize("pinned", [True, False])
def test_the_keys_in_it_open_the_bundle(vendor: Vendor, pinned: bool) -> None:
    data = vendor.issue()
    opened = open_sealed(
        vendor.bundle,
        vendor.identity,
        [vendor.trust] if pinned else [],
        lambda lock: lock.open(data, "licence.json")[1],
    )
    assert opened.files == PLAINTEXTS


def test_for_an_x25519_key(vendor: Vendor) -> None:
    text = generate("recipient", "x25519")
    identity = recipient_private(text, "key")
    terms = Terms("acme", NOW, NOW + DAY)
    bundle, public = vendor.lock().bundle, public_half(identity)
    data = issue(terms, bundle, vendor.secret, public, vendor.signer)
    assert vendor.lock(identity).open(data, "licence.json")[1] == vendor.secret


def test_a_renewal_keeps_the_terms(vendor: Vendor) -> None:
    old = vendor.issue(grace_days=3, streams=2, hosts=(HOST,))
    new = read(vendor.renew(old, issued=NOW + DAY, days=60))
    assert new.terms == Terms("acme", NOW + DAY, NOW + 61 * DAY, 3, 2, (HOST,))
    assert new.sequence > read(old).sequence
    assert new.supersedes == read(old).licence_id
    again = read(vendor.renew(vendor.sign(new.payload()), issued=NOW, grace_days=0))
    assert again.sequence == new.sequence + 1 and again.terms.grace_days == 0


def test_a_renewal_is_for_the_same_bundle_recipient_and_vendor(
    vendor: Vendor, tmp_path: Path
) -> None:
    old = vendor.issue()
    secret, bundle = vendor.secret, vendor.lock().bundle
    dates: dict[str, Any] = {"not_before": NOW, "expires": NOW + DAY}
    other_bundle = LicensedBundle("0" * 8 + bundle.bundle_id[8:], bundle.manifest)
    other_key = recipient_public(
        (vendor.bundle.parent / "customer.pub").read_bytes(), "customer.pub"
    )
    other_vendor = signing_private(generate("signing"), "other")
    with pytest.raises(KeyFileError, match="another bundle"):
        renew(old, other_bundle, secret, vendor.recipient, vendor.signer, **dates)
    with pytest.raises(KeyFileError, match="another recipient"):
        renew(old, bundle, secret, other_key, vendor.signer, **dates)
    with pytest.raises(KeyFileError) as error:
        renew(old, bundle, secret, vendor.recipient, other_vendor, **dates)
    assert error.value.code == "licence-signer"
    # A vendor who has a new key says so.
    trust = [vendor.trust]
    renew(old, bundle, secret, vendor.recipient, other_vendor, trust=trust, **dates)


def test_the_bundle_must_be_sound_and_the_vendors_to_be_licensed(
    vendor: Vendor, tmp_path: Path
) -> None:
    copy = make_bundle(tmp_path / "other")
    with pytest.raises(KeyFileError) as error:
        open_for_licensing(copy.path, vendor.identity)
    assert error.value.code == "identity-not-recipient"
    (copy.path / "README.md").write_text("changed")
    escrow = recipient_private(copy.bytes_of("old.key"), "old.key")
    with pytest.raises(Exception, match="has changed"):
        open_for_licensing(copy.path, escrow)
    with pytest.raises(InputError):
        open_for_licensing(tmp_path / "none", escrow)


# -- What is refused -------------------------------------------------------------------------------


def _outer(change: Callable[[dict[str, Any]], None]) -> Callable[[Vendor], bytes]:
    """Changes the DSSE envelope, not what is signed."""

    def make(vendor: Vendor) -> bytes:
        outer = json.loads(vendor.issue())
        change(outer)
        return canonical_json(outer)

    return make


def _body(**fields: Any) -> Callable[[Vendor], bytes]:
    """The vendor signs and wraps for a body with these fields."""
    return lambda vendor: vendor.edit(lambda payload: payload["body"].update(fields))


def _without(name: str) -> Callable[[Vendor], bytes]:
    return lambda vendor: vendor.edit(lambda payload: payload["body"].pop(name) and None)


def _host(**fields: Any) -> Callable[[Vendor], bytes]:
    return _body(hosts=[HOST.as_dict() | fields])


def _text(change: Callable[[bytes], bytes]) -> Callable[[Vendor], bytes]:
    return lambda vendor: change(vendor.issue())


def _payload_text(change: Callable[[bytes], bytes]) -> Callable[[Vendor], bytes]:
    """The vendor signs a payload that was changed as text."""

    def make(vendor: Vendor) -> bytes:
        return vendor.sign(change(read(vendor.issue()).payload()))

    return make


def _second(sig: bytes) -> Callable[[Vendor], bytes]:
    entry = {"keyid": "0" * 64, "sig": base64.b64encode(sig).decode()}
    return _outer(lambda outer: outer["signatures"].append(entry))


def _wrapped(change: Callable[[Vendor, bytes], bytes]) -> Callable[[Vendor], bytes]:
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


def _duplicate(data: bytes) -> bytes:
    return data[:-1] + b',"payloadType":"' + LICENCE_TYPE.encode() + b'"}'


def _next_der(outer: dict[str, Any]) -> None:
    entry = outer["signatures"][0]
    entry["sig"] = base64.b64encode(base64.b64decode(entry["sig"]) + b"\0").decode()


ZERO_ID = "00000000-0000-0000-0000-000000000000"
REFUSED: list[tuple[str, Callable[[Vendor], bytes], str]] = [
    ("empty", _text(lambda data: b""), "json-syntax"),
    ("cut short", _text(lambda data: data[:-9]), "json-syntax"),
    ("over 256 KiB", _text(lambda data: data + b" " * (256 << 10)), "json-size"),
    ("byte order mark", _text(lambda data: b"\xef\xbb\xbf" + data), "json-bom"),
    ("white space", _text(lambda data: data + b"\n"), "json-not-canonical"),
    ("a key twice", _text(_duplicate), "json-duplicate-key"),
    ("deep", _text(lambda data: b"[" * 100_000), "json-depth"),
    ("a list", _text(lambda data: b"[]"), "format"),
    ("a number", _text(lambda data: b"1e9"), "json-number"),
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
    ("payload with white space", _payload_text(lambda d: d + b" "), "json-not-canonical"),
    ("payload with a key twice", _payload_text(
        lambda d: d[:-1] + b',"wrapped":""}'), "json-duplicate-key"),
    ("payload of another product", lambda vendor: vendor.sign(b'{"hello":"world"}'), "format"),
    ("body of another format", _body(format="asrpack-licence/2"), "format"),
    ("a field missing", _without("grace_days"), "format"),
    ("a field too many in the body", _body(features=[]), "format"),
    ("id not a UUID", _body(licence_id="1"), "format"),
    ("supersedes not a UUID", _body(supersedes="1"), "format"),
    ("bundle id not a UUID", _body(bundle_id="../x"), "format"),
    ("id of version 0", _body(licence_id=ZERO_ID), "format"),
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


@pytest.mark.parametrize(
    ("make", "code"), [item[1:] for item in REFUSED], ids=[item[0] for item in REFUSED]
)
def test_refused(vendor: Vendor, make: Callable[[Vendor], bytes], code: str) -> None:
    with pytest.raises(KeyFileError) as error:
        vendor.lock().open(make(vendor), "the/licence.json")
    assert error.value.code == f"licence-{code}"
    assert error.value.place == "the/licence.json"
    assert error.value.exit_code == 7 and error.value.remedy


def test_the_names_of_what_is_refused_differ() -> None:
    assert len({name for name, _, _ in REFUSED}) == len(REFUSED)


def test_keys_wrapped_for_another_bundle(vendor: Vendor) -> None:
    """Signed and wrapped by the vendor, but with the keys of two files."""
    data = vendor.sign(
        read(
            issue(
                Terms("acme", NOW, NOW + DAY), vendor.lock().bundle, bytes(64), vendor.recipient,
                vendor.signer,
            )
        ).payload()
    )  # fmt: skip
    with pytest.raises(KeyFileError, match="keys of 2 files, the bundle 3") as error:
        vendor.lock().open(data, "licence.json")
    assert error.value.code == "licence-wrapped-key"


def test_a_licence_of_another_vendors_bundle(vendor: Vendor, tmp_path: Path) -> None:
    """Without a pinned key it must be by the bundle's own signer."""
    data = _other_vendor(vendor)
    with pytest.raises(KeyFileError) as error:
        open_sealed(
            vendor.bundle, vendor.identity, [], lambda lock: lock.open(data, "licence.json")[1]
        )
    assert error.value.code == "licence-signer"
    with pytest.raises(KeyFileError) as error:
        verify_licence(vendor.issue(), [b"no key"], "licence.json")
    assert error.value.code == "key-format"


@pytest.mark.parametrize(
    "terms",
    [
        {"expires": NOW},
        {"expires": NOW - 1},
        {"grace_days": -1},
        {"expires": None, "grace_days": 1},
        {"streams": 0},
        {"hosts": (HOST,) * 257},
    ],
)
def test_terms_that_a_reader_would_refuse_are_not_issued(
    vendor: Vendor, terms: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as error:
        vendor.issue(**terms)
    assert error.value.place == "the terms"


def test_an_mldsa_signature_beside(vendor: Vendor) -> None:
    """It is over the same bytes, and is no part of what an ECDSA key vouches for."""
    handle = mldsa.MLDSA65PrivateKey.generate()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    der = handle.public_key().public_bytes(serialization.Encoding.DER, info)
    second = Key("signing", "ml-dsa-65", True, der, handle)
    data = issue(
        Terms("acme", NOW), vendor.lock().bundle, vendor.secret, vendor.recipient, vendor.signer,
        post_quantum=second,
    )  # fmt: skip
    assert vendor.lock().open(data, "licence.json")[1] == vendor.secret
    entry = json.loads(data)["signatures"][1]
    assert entry["keyid"] == second.fingerprint
    signed = b"DSSEv1 %d %s " % (len(LICENCE_TYPE), LICENCE_TYPE.encode())
    payload = base64.b64decode(json.loads(data)["payload"])
    signed += b"%d %s" % (len(payload), payload)
    handle.public_key().verify(base64.b64decode(entry["sig"]), signed)


# -- Any input -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(vendor: Vendor) -> bytes:
    return vendor.issue(grace_days=14, streams=4, hosts=(HOST,))


@quick
@given(data=st.data())
def test_any_edit_of_a_licence(vendor: Vendor, original: bytes, data: st.DataObject) -> None:
    changed = data.draw(edits(original))
    assume(changed != original)
    with pytest.raises(KeyFileError) as error:
        vendor.lock().open(changed, "licence.json")
    assert error.value.code.startswith("licence-")


@quick
@given(data=st.data())
def test_any_edit_of_what_is_signed(vendor: Vendor, original: bytes, data: st.DataObject) -> None:
    """Even signed by the vendor, nothing but the original opens."""
    payload = read(original).payload()
    changed = data.draw(edits(payload))
    assume(changed != payload)
    with pytest.raises(KeyFileError) as error:
        vendor.lock().open(vendor.sign(changed), "licence.json")
    assert error.value.code.startswith("licence-")


@quick
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(KeyFileError):
        read_licence(data, "licence.json")
    with pytest.raises(KeyFileError):
        HostBinding.from_json(data, "host.json")


@quick
@given(
    begin=st.integers(0, 4_000_000_000),
    length=st.integers(1, 4_000_000_000),
    grace=st.integers(0, 3650),
    offset=st.integers(-(10**9), 10**10),
)
def test_a_licence_is_in_one_state_at_a_time(
    begin: int, length: int, grace: int, offset: int
) -> None:
    terms = Terms("acme", begin, begin + length, grace)
    now = begin + offset
    expected = (
        "not-yet"
        if now < begin
        else "valid"
        if now < begin + length
        else "grace"
        if now < begin + length + grace * DAY
        else "expired"
    )
    assert terms.standing(now) == expected


def test_a_bundle_with_the_customers_key_needs_none(master_bundle: SealedBundle) -> None:
    identity = recipient_private(master_bundle.bytes_of("customer.key"), "customer.key")

    def never(lock: object) -> bytes:
        raise AssertionError

    assert open_sealed(master_bundle.path, identity, [], never).files == PLAINTEXTS
