"""Licences under a trust policy: revoked keys, windows, a post-quantum signature that must be."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from asrpack.bundle.keys import post_quantum_private, public_pem
from asrpack.bundle.licence import verify_licence
from asrpack.bundle.licence_body import DAY, Terms
from asrpack.bundle.metadata import utc
from asrpack.bundle.verify import canonical_json
from asrpack.errors import KeyFileError
from asrpack.protect.keys import generate
from asrpack.protect.licence import issue
from asrpack.protect.trust import Document, add_signer, new_policy, policy_bytes, revoke
from tests.licence.vendor import NOW, Vendor

LATTICE = post_quantum_private(generate("signing-pq"), "signing-pq")
OTHER_LATTICE = post_quantum_private(generate("signing-pq"), "other")


def policy(vendor: Vendor, **terms: str | bytes) -> Document:
    document = new_policy()
    add_signer(document, "vendor", vendor.trust, **terms)  # type: ignore[arg-type]
    return document


def issued(vendor: Vendor, by: object = LATTICE) -> bytes:
    terms = Terms("acme", NOW, NOW + 30 * DAY)
    subject = vendor.lock().bundle
    return issue(
        terms, subject, vendor.secret, vendor.recipient, vendor.signer,
        post_quantum=by, issued=NOW,  # type: ignore[arg-type]
    )  # fmt: skip


def refusal(data: bytes, document: Document) -> str:
    with pytest.raises(KeyFileError) as error:
        verify_licence(data, [policy_bytes(document)], "licence.json")
    assert error.value.exit_code == 7 and error.value.remedy
    return error.value.code


def test_by_a_signer_of_the_policy(vendor: Vendor) -> None:
    document = policy(vendor, not_before=utc(NOW), not_after=utc(NOW))
    assert verify_licence(vendor.issue(), [policy_bytes(document)], "l").terms.customer == "acme"


def test_by_nobody_of_the_policy(vendor: Vendor) -> None:
    assert refusal(vendor.issue(), new_policy()) == "licence-signer"


def test_by_a_revoked_key(vendor: Vendor) -> None:
    document = policy(vendor)
    revoke(document, vendor.signer.fingerprint)
    assert refusal(vendor.issue(), document) == "licence-signer-revoked"


def test_a_key_revoked_by_one_of_two_policies(vendor: Vendor) -> None:
    other = new_policy()
    revoke(other, vendor.signer.fingerprint)
    with pytest.raises(KeyFileError) as error:
        verify_licence(vendor.issue(), [vendor.trust, policy_bytes(other)], "licence.json")
    assert error.value.code == "licence-signer-revoked"


@pytest.mark.parametrize(
    "window", [{"not_before": utc(NOW + 1)}, {"not_after": utc(NOW - 1)}], ids=["before", "after"]
)
def test_issued_when_the_key_was_not_to_sign(vendor: Vendor, window: dict[str, str]) -> None:
    assert refusal(vendor.issue(), policy(vendor, **window)) == "licence-signer-retired"


def test_with_the_post_quantum_signature(vendor: Vendor) -> None:
    document = policy(vendor, post_quantum=public_pem(LATTICE))
    assert verify_licence(issued(vendor), [policy_bytes(document)], "l").issued == NOW


@pytest.mark.parametrize("by", [None, OTHER_LATTICE], ids=["missing", "of-another-key"])
def test_without_the_post_quantum_signature(vendor: Vendor, by: object) -> None:
    document = policy(vendor, post_quantum=public_pem(LATTICE))
    assert refusal(issued(vendor, by), document) == "licence-post-quantum-missing"


def test_with_a_false_post_quantum_signature(vendor: Vendor) -> None:
    document = policy(vendor, post_quantum=public_pem(LATTICE))
    outer = json.loads(issued(vendor))
    signature = bytearray(base64.b64decode(outer["signatures"][1]["sig"]))
    signature[0] ^= 1
    outer["signatures"][1]["sig"] = base64.b64encode(signature).decode()
    assert refusal(canonical_json(outer), document) == "licence-signature"


def test_with_a_revoked_post_quantum_key(vendor: Vendor) -> None:
    document = policy(vendor, post_quantum=public_pem(LATTICE))
    revoke(document, LATTICE.fingerprint)
    assert refusal(issued(vendor), document) == "licence-signer-revoked"


def test_an_unreadable_policy(vendor: Vendor, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as error:
        verify_licence(vendor.issue(), [b'{"format": "asrpack-trust/9"}'], "licence.json")
    assert error.value.code == "key-format"
