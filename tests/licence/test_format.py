"""Licences as bytes: what is read, and what is refused with its own code."""

from __future__ import annotations

import base64
import json
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
from asrpack.errors import InputError, KeyFileError
from asrpack.protect.keys import generate
from asrpack.protect.licence import issue, open_for_licensing, renew
from tests.hostile.bundles import PLAINTEXTS, SealedBundle, make_bundle
from tests.hostile.test_fuzz import edits
from tests.licence.vendor import NOW, Vendor, public_half, read

quick = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_a_licence_of_another_vendors_bundle(vendor: Vendor, tmp_path: Path) -> None:
    """Without a pinned key it must be by the bundle's own signer."""
    data = vendor.issue(signer=signing_private(generate("signing"), "other"))
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
