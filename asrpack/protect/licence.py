"""Issuing licences: a bundle's data keys for one recipient, under signed terms."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from asrpack.bundle import envelope as envelopes
from asrpack.bundle.envelope import DATA_KEY_SIZE
from asrpack.bundle.keys import Key, public_pem
from asrpack.bundle.licence import LICENCE_TYPE, read_licence, verify_licence
from asrpack.bundle.licence_body import Licence, LicensedBundle, Terms
from asrpack.bundle.metadata import LATEST_SECOND, build_time
from asrpack.bundle.opening import read_sealed
from asrpack.bundle.verify import CURVES, canonical_json, pae
from asrpack.errors import InputError, KeyFileError

__all__ = ["LicensedBundle", "Terms", "issue", "open_data_keys", "open_for_licensing", "renew"]


def issue(
    terms: Terms,
    bundle: LicensedBundle,
    secret: bytes,
    recipient: Key,
    signer: Key,
    *,
    post_quantum: Key | None = None,
    issued: int | None = None,
    sequence: int | None = None,
    supersedes: str | None = None,
) -> bytes:
    """A licence, as the bytes of ``licence.json``.

    Args:
        terms: what is allowed.
        bundle: the signed bundle (:meth:`LicensedBundle.of`).
        secret: its data keys, 32 bytes each, one after the other, in the order of the envelope's
            files; :func:`open_for_licensing` gives those of a bundle.
        recipient: the customer's public key.
        signer: the vendor's private signing key.
        post_quantum: the vendor's private ML-DSA-65 key, which signs besides.
        issued: Unix seconds; now if None, or ``SOURCE_DATE_EPOCH``.
        sequence: must grow with every licence for this bundle and recipient, or hosts that know
            a higher one refuse it; ``issued`` if None.
        supersedes: id of the licence that it takes the place of.

    Raises:
        InputError: terms that a reader would refuse.
    """
    if not secret or len(secret) % DATA_KEY_SIZE:
        raise ValueError("data keys have 32 bytes each")
    when = build_time() if issued is None else issued
    for seconds in (when, terms.not_before, terms.expires or 0):
        if not 0 <= seconds <= LATEST_SECOND:
            raise _bad_terms("licence-dates", "a date is before 1970 or after the year 9999")
    licence = Licence(
        licence_id=str(uuid.uuid4()),
        bundle=bundle,
        terms=terms,
        recipient=recipient.fingerprint,
        kem=recipient.algorithm,
        issued=when,
        sequence=when if sequence is None else sequence,
        supersedes=supersedes,
        wrapped=b"",
        signer=signer.fingerprint,
    )
    wrapped = envelopes.suite(licence.kem).encrypt(secret, recipient.handle, licence.info)
    licence = replace(licence, wrapped=wrapped)
    data = _sign(licence.payload(), signer, post_quantum)
    try:
        # What a reader would refuse must not go out.
        read_licence(data, "the licence")
    except KeyFileError as error:
        raise _bad_terms(error.code, error.message) from None
    return data


def renew(
    old: bytes,
    bundle: LicensedBundle,
    secret: bytes,
    recipient: Key,
    signer: Key,
    *,
    not_before: int,
    expires: int | None,
    grace_days: int | None = None,
    trust: Sequence[bytes] = (),
    post_quantum: Key | None = None,
    issued: int | None = None,
) -> bytes:
    """A licence that takes the place of an old one: its terms with other dates.

    Args:
        old: the bytes of the licence to renew.
        bundle, secret, recipient, signer, post_quantum, issued: as for :func:`issue`.
        not_before, expires, grace_days: as :class:`Terms` has them; grace_days None keeps them.
        trust: further public keys that may have signed the old licence.

    Raises:
        KeyFileError: the old licence is not the vendor's, or for another bundle or recipient.
        InputError: terms that a reader would refuse.
    """
    place = "the licence to renew"
    known = verify_licence(old, [public_pem(signer), *trust], place)
    if known.bundle.bundle_id != bundle.bundle_id or known.recipient != recipient.fingerprint:
        what = "bundle" if known.bundle.bundle_id != bundle.bundle_id else "recipient"
        raise KeyFileError(
            f"it is for another {what}",
            code=f"licence-{what}",
            place=place,
            remedy=f"give the {what} that it is for, or issue a licence for this one",
        )
    when = build_time() if issued is None else issued
    terms = replace(
        known.terms,
        not_before=not_before,
        expires=expires,
        grace_days=known.terms.grace_days if grace_days is None else grace_days,
    )
    return issue(
        terms,
        bundle,
        secret,
        recipient,
        signer,
        post_quantum=post_quantum,
        issued=when,
        # As the time, so that of two renewals of one licence the later one counts.
        sequence=max(known.sequence + 1, when),
        supersedes=known.licence_id,
    )


def open_for_licensing(path: Path, escrow: Key) -> tuple[LicensedBundle, bytes, bytes]:
    """What a licence for a bundle is made of.

    Args:
        path: the bundle's directory.
        escrow: the vendor's private key, one of the bundle's recipients.

    Returns:
        Which bundle it is, its data keys one after the other, and its signer's public key in PEM.

    Raises:
        InputError, IntegrityError, ErrorGroup: there is no bundle, or it was changed.
        KeyFileError: the bundle is not for this key.
    """
    sealed = read_sealed(path)
    subject = LicensedBundle.of(sealed.verified, sealed.metadata)
    return subject, open_data_keys(sealed.envelope, escrow), sealed.trust[0]


def open_data_keys(envelope: bytes, escrow: Key) -> bytes:
    """The data keys of an envelope, one after the other in the order of its files.

    Raises:
        KeyFileError: the bundle is not for this key.
    """
    keys = envelopes.open_envelope(envelope, escrow)
    header = envelopes.Envelope.from_json(envelope).header
    return b"".join(keys[item.path] for item in header.files)


def _bad_terms(code: str, message: str) -> InputError:
    return InputError(message, code=code, place="the terms", remedy="correct the terms")


def _sign(payload: bytes, signer: Key, post_quantum: Key | None) -> bytes:
    """The DSSE envelope over a licence's payload, canonical JSON."""
    signed, handle = pae(payload, LICENCE_TYPE), signer.handle
    found = [(signer, handle.sign(signed, ec.ECDSA(CURVES[handle.curve.name])))]
    if post_quantum is not None:
        found.append((post_quantum, post_quantum.handle.sign(signed)))
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": LICENCE_TYPE,
            "signatures": [
                {"keyid": key.fingerprint, "sig": base64.b64encode(signature).decode()}
                for key, signature in found
            ],
        }
    )
