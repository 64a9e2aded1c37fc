"""Licences: the data keys of a bundle, wrapped for one recipient under the vendor's terms.

``licence.json`` lies outside the bundle. It is a DSSE envelope of a body that says what is
allowed, and of the data keys wrapped by HPKE with the body's SHA-256 as ``info``: without a
licence there is no key, and a body that was changed opens nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import utils

from asrpack.bundle.envelope import DATA_KEY_SIZE
from asrpack.bundle.keys import Key
from asrpack.bundle.licence_body import MAX_LICENCE, Licence, LicensedBundle, parse_payload
from asrpack.bundle.metadata import utc
from asrpack.bundle.verify import (
    FormatError,
    canonical_base64,
    canonical_json,
    check_shape,
    load_policy,
    pae,
    strict_json,
)
from asrpack.errors import KeyFileError

LICENCE_FILE = "licence.json"
LICENCE_TYPE = "application/vnd.asrpack.licence+json"
MLDSA_SIGNATURE = 3309  # bytes
_DSSE_SHAPE = {"payload": str, "payloadType": str, "signatures": [{"keyid": str, "sig": str}]}
_CODE = "licence-format"
_HEX = re.compile(r"[0-9a-f]{64}")
_ASK = "ask the vendor for the licence again"


@dataclass(frozen=True)
class LockedBundle:
    """A verified bundle whose envelope has no keys for an identity.

    Attributes:
        created: as its metadata says, Unix seconds.
        keys: number of its data keys.
        trust: as :func:`verify_licence` takes them.
        identity: the recipient's private key; None: not known, and nothing is unwrapped.
    """

    bundle: LicensedBundle
    created: int
    keys: int
    trust: tuple[bytes, ...]
    identity: Key | None

    def open(self, data: bytes, place: str) -> tuple[Licence, bytes]:
        """A licence for this bundle and identity, and the data keys one after the other.

        The keys are empty where the identity is not known. Times and hosts are not looked at.

        Raises:
            KeyFileError: the licence is damaged, not the vendor's, or for something else.
        """
        licence = verify_licence(data, self.trust, place)
        licence.check_bundle(self.bundle, place)
        if self.identity is None:
            return licence, b""
        secret = licence.unwrap(self.identity, place)
        if len(secret) != self.keys * DATA_KEY_SIZE:
            raise KeyFileError(
                f"the licence has the keys of {len(secret) // DATA_KEY_SIZE} files, "
                f"the bundle {self.keys}",
                code="licence-wrapped-key",
                place=place,
                remedy=_ASK,
            )
        return licence, secret


def read_licence(data: bytes, place: str) -> Licence:
    """Reads a licence strictly; its signature is not checked.

    Raises:
        KeyFileError: it is not the one form that asrpack writes.
    """
    return _guarded(place, lambda: _parse(data)[0])


def verify_licence(data: bytes, trust: Sequence[bytes], place: str) -> Licence:
    """Reads a licence that one of the trusted keys signed.

    Args:
        data: the file's bytes.
        trust: as for :func:`asrpack.bundle.opening.open_sealed`; at least one.
        place: where they came from, for messages.

    Raises:
        KeyFileError: it is damaged, or not signed by a trusted key.
    """

    def verify() -> Licence:
        licence, signatures = _parse(data)
        _check_signatures(licence, signatures, trust)
        return licence

    return _guarded(place, verify)


def _guarded(place: str, read: Callable[[], Licence]) -> Licence:
    try:
        return read()
    except FormatError as error:
        code = error.code.removeprefix("licence-")
        raise KeyFileError(
            f"the licence cannot be used: {error}",
            code=f"licence-{code}",
            place=place,
            remedy=_ASK,
        ) from None


def _check_signatures(
    licence: Licence, signatures: Sequence[tuple[str, bytes]], trust: Sequence[bytes]
) -> None:
    """The one place that knows what a host trusts."""
    try:
        policy = load_policy(trust)
    except FormatError as error:
        raise KeyFileError(f"a trusted key is {error}", code="key-format") from None
    signer = next((item for item in policy.signers if item.key.fingerprint == licence.signer), None)
    if signer is None:
        message = f"was signed by another key ({licence.signer}), none of the trusted ones"
        raise FormatError("licence-signer", message)
    keys = [signer.key]
    if signer.post_quantum:
        if len(signatures) < 2 or signatures[1][0] != signer.post_quantum.fingerprint:
            message = f"lacks the signature of {signer.name}'s ML-DSA key"
            raise FormatError("licence-post-quantum-missing", message)
        keys.append(signer.post_quantum)
    signed = pae(licence.payload(), LICENCE_TYPE)
    for key, (_, signature) in zip(keys, signatures, strict=False):  # not pinned: not checked
        if key.fingerprint in policy.revoked_keys:
            raise FormatError(
                "licence-signer-revoked", f"was signed by a revoked key: {key.fingerprint}"
            )
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            message = "has a signature that is not valid for what it says"
            raise FormatError("licence-signature", message) from None
    issued = utc(licence.issued)
    if (signer.not_before and issued < signer.not_before) or (
        signer.not_after and issued > signer.not_after
    ):
        message = f"was issued on {issued}, when {signer.name}'s key was not to sign"
        raise FormatError("licence-signer-retired", message)


def _parse(data: bytes) -> tuple[Licence, list[tuple[str, bytes]]]:
    """The licence, and key id and signature of ECDSA and, where it has one, of ML-DSA-65."""
    outer = strict_json(data, MAX_LICENCE)
    check_shape(outer, _DSSE_SHAPE, "the licence", _CODE)
    if outer["payloadType"] != LICENCE_TYPE:
        raise FormatError("licence-payload-type", f"signs a {outer['payloadType']!r}")
    signatures = []
    for entry in outer["signatures"]:
        if not _HEX.fullmatch(entry["keyid"]):
            raise FormatError(_CODE, "has a keyid that is not a SHA-256 in lower case")
        value = canonical_base64(entry["sig"], "the signature", "licence-signature-encoding")
        signatures.append((entry["keyid"], value))
    if not 1 <= len(signatures) <= 2:
        raise FormatError("licence-signature-count", f"has {len(signatures)} signatures")
    if len(signatures) == 2 and len(signatures[1][1]) != MLDSA_SIGNATURE:
        raise FormatError("licence-signature-count", "has two signatures, the second not ML-DSA-65")
    try:
        if (
            utils.encode_dss_signature(*utils.decode_dss_signature(signatures[0][1]))
            != (signatures[0][1])
        ):
            raise ValueError
    except ValueError:
        message = "the signature is not canonical DER"
        raise FormatError("licence-signature-encoding", message) from None
    payload = canonical_base64(outer["payload"], "the payload", _CODE)
    if canonical_json(outer) != data:
        raise FormatError("json-not-canonical", "is not canonical JSON")
    return parse_payload(payload, signatures[0][0]), signatures
