"""What a licence says: its terms, for which bundle and recipient, and the wrapped keys.

The payload of ``licence.json`` (:mod:`asrpack.bundle.licence`); docs/format.md has every field.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from cryptography.exceptions import InvalidTag

from asrpack.bundle.envelope import (
    DATA_KEY_SIZE,
    HPKE_TAG_SIZE,
    KEMS,
    MAX_ENCRYPTED_FILES,
    UUID,
    suite,
)
from asrpack.bundle.host import SHAPE as HOST_SHAPE
from asrpack.bundle.host import HostBinding
from asrpack.bundle.keys import Key
from asrpack.bundle.metadata import LATEST_SECOND, BundleMetadata, unix_seconds, utc
from asrpack.bundle.verify import (
    FormatError,
    Verified,
    canonical_base64,
    canonical_json,
    check_shape,
    root_digest,
    strict_json,
)
from asrpack.errors import KeyFileError

LICENCE_FORMAT = "asrpack-licence/1"
MAX_LICENCE = 256 << 10
MAX_HOSTS = 256
MAX_STREAMS = 1_000_000
MAX_GRACE_DAYS = 3650
DAY = 86400

Standing = Literal["valid", "grace", "expired", "not-yet"]
_CODE = "licence-format"
_CUSTOMER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LicensedBundle:
    """Which bundle a licence is for.

    Attributes:
        bundle_id: as in its metadata.
        manifest: root digest of the statement that its vendor signed, hexadecimal.
    """

    bundle_id: str
    manifest: str

    @classmethod
    def of(cls, verified: Verified, metadata: BundleMetadata) -> LicensedBundle:
        """A verified bundle."""
        return cls(metadata.bundle_id, root_digest(verified.digests))


@dataclass(frozen=True)
class Terms:
    """What a vendor chooses for a licence; times are Unix seconds.

    Attributes:
        customer: who it is for; letters, digits, ``.``, ``_``, ``@``, ``-``.
        not_before: when it begins.
        expires: from when on it no longer holds; None: never.
        grace_days: so long after that it still works, with a warning.
        streams: recognitions that one process may run at a time; None: any number.
        hosts: it works on one of these only; empty: on any.
    """

    customer: str
    not_before: int
    expires: int | None = None
    grace_days: int = 0
    streams: int | None = None
    hosts: tuple[HostBinding, ...] = ()

    @property
    def ends(self) -> int | None:
        """When the grace is over, too; None: never."""
        return None if self.expires is None else self.expires + self.grace_days * DAY

    def standing(self, now: float) -> Standing:
        """Whether it holds at a time, in Unix seconds."""
        if now < self.not_before:
            return "not-yet"
        if self.expires is None or now < self.expires:
            return "valid"
        return "grace" if now < self.expires + self.grace_days * DAY else "expired"


@dataclass(frozen=True)
class Licence:
    """A whole licence, as :mod:`asrpack.bundle.licence` reads it.

    Attributes:
        licence_id: UUID (version 4).
        recipient: key id of whom the keys are wrapped for.
        kem: as in the envelope.
        issued: Unix seconds, the vendor's clock.
        sequence: grows with every licence for a bundle and a recipient.
        supersedes: id of the licence that it renews, or None.
        wrapped: HPKE's encapsulated key and ciphertext one after the other.
        signer: fingerprint of the key that signed it, or is said to have.
    """

    licence_id: str
    bundle: LicensedBundle
    terms: Terms
    recipient: str
    kem: str
    issued: int
    sequence: int
    supersedes: str | None
    wrapped: bytes = field(repr=False)
    signer: str

    def body(self) -> dict[str, Any]:
        """The body as it stands in the payload."""
        terms = self.terms
        return {
            "format": LICENCE_FORMAT,
            "licence_id": self.licence_id,
            "customer": terms.customer,
            "bundle_id": self.bundle.bundle_id,
            "manifest": self.bundle.manifest,
            "recipient": self.recipient,
            "kem": self.kem,
            "issued": utc(self.issued),
            "not_before": utc(terms.not_before),
            "expires": None if terms.expires is None else utc(terms.expires),
            "grace_days": terms.grace_days,
            "limits": {"streams": terms.streams},
            "hosts": [host.as_dict() for host in terms.hosts],
            "sequence": self.sequence,
            "supersedes": self.supersedes,
        }

    def payload(self) -> bytes:
        """What is signed: canonical JSON."""
        wrapped = base64.b64encode(self.wrapped).decode()
        return canonical_json({"body": self.body(), "wrapped": wrapped})

    @property
    def info(self) -> bytes:
        """HPKE's ``info``: SHA-256 of the body in canonical JSON."""
        return hashlib.sha256(canonical_json(self.body())).digest()

    def check_bundle(self, bundle: LicensedBundle, place: str) -> None:
        """Raises KeyFileError where the licence is for another bundle, or an earlier form of it."""
        if self.bundle.bundle_id != bundle.bundle_id:
            raise KeyFileError(
                f"the licence is for the bundle {self.bundle.bundle_id}, "
                f"this one is {bundle.bundle_id}",
                code="licence-bundle",
                place=place,
                remedy="use the licence that came for this bundle, or ask the vendor for one",
            )
        if self.bundle.manifest != bundle.manifest:
            raise KeyFileError(
                "the licence is for other contents of this bundle: its root digest is "
                f"{self.bundle.manifest}, the bundle's {bundle.manifest}",
                code="licence-manifest",
                place=place,
                remedy="use the bundle and the licence that the vendor sent together",
            )

    def unwrap(self, identity: Key, place: str) -> bytes:
        """The data keys, one after the other, in the order of the envelope's files.

        Args:
            identity: the recipient's private key.

        Raises:
            KeyFileError: the licence is for another recipient, or its key was wrapped for other
                terms.
        """
        if self.recipient != identity.fingerprint:
            raise KeyFileError(
                f"the licence is for the key {self.recipient}; given was {identity.fingerprint}",
                code="licence-recipient",
                place=place,
                remedy="give the private key of that id, or ask the vendor for a licence for yours",
            )
        try:
            if self.kem != identity.algorithm:
                raise InvalidTag
            return suite(self.kem).decrypt(self.wrapped, identity.handle, self.info)
        except (InvalidTag, ValueError):
            raise KeyFileError(
                "the data keys in the licence do not open: they were wrapped for another licence",
                code="licence-wrapped-key",
                place=place,
                remedy="ask the vendor for the licence again",
            ) from None


def parse_payload(payload: bytes, signer: str) -> Licence:
    """Reads the payload; ``signer`` is who is said to have signed it.

    Raises:
        FormatError: it is not the one form that asrpack writes.
    """
    raw = strict_json(payload, MAX_LICENCE)
    check_shape(raw, {"body": dict, "wrapped": str}, "the payload", _CODE)
    body = raw["body"]
    check_shape(body, _body_shape(body), "the body", _CODE)
    if body["format"] != LICENCE_FORMAT:
        raise FormatError(_CODE, f"has the format {body['format']!r}, not {LICENCE_FORMAT!r}")
    if body["kem"] not in KEMS:
        raise FormatError("licence-algorithm", f"has the KEM {body['kem']!r}, which is not known")
    ids = [body["licence_id"], body["bundle_id"], body["supersedes"] or body["licence_id"]]
    if not all(UUID.fullmatch(item) for item in ids):
        raise FormatError(_CODE, "has an id that is not a UUID of version 4")
    if not all(_HEX.fullmatch(body[name]) for name in ("manifest", "recipient")):
        raise FormatError(_CODE, "has a digest that is not a SHA-256 in lower case")
    if body["sequence"] < 1:
        raise FormatError(_CODE, "has a sequence below 1")
    wrapped = canonical_base64(raw["wrapped"], "the wrapped key", _CODE)
    keys = len(wrapped) - KEMS[body["kem"]].enc_length() - HPKE_TAG_SIZE
    if keys % DATA_KEY_SIZE or not 0 < keys <= MAX_ENCRYPTED_FILES * DATA_KEY_SIZE:
        raise FormatError(_CODE, f"has a wrapped key of {len(wrapped)} bytes")
    licence = Licence(
        licence_id=body["licence_id"],
        bundle=LicensedBundle(body["bundle_id"], body["manifest"]),
        terms=_parse_terms(body),
        recipient=body["recipient"],
        kem=body["kem"],
        issued=_seconds(body, "issued"),
        sequence=body["sequence"],
        supersedes=body["supersedes"],
        wrapped=wrapped,
        signer=signer,
    )
    if licence.payload() != payload:
        raise FormatError("json-not-canonical", "the payload is not canonical JSON")
    return licence


def _body_shape(body: dict[str, Any]) -> dict[str, Any]:
    limits = body.get("limits")
    streams = limits.get("streams") if type(limits) is dict else None
    return {
        "format": str,
        "licence_id": str,
        "customer": str,
        "bundle_id": str,
        "manifest": str,
        "recipient": str,
        "kem": str,
        "issued": str,
        "not_before": str,
        "expires": type(None) if body.get("expires") is None else str,
        "grace_days": int,
        "limits": {"streams": type(None) if streams is None else int},
        "hosts": [HOST_SHAPE],
        "sequence": int,
        "supersedes": type(None) if body.get("supersedes") is None else str,
    }


def _parse_terms(body: dict[str, Any]) -> Terms:
    streams, grace_days = body["limits"]["streams"], body["grace_days"]
    not_before = _seconds(body, "not_before")
    expires = None if body["expires"] is None else _seconds(body, "expires")
    if not _CUSTOMER.fullmatch(body["customer"]):
        raise FormatError(_CODE, "has a customer that is not a plain id of at most 128 characters")
    if expires is not None and expires <= not_before:
        raise FormatError("licence-dates", "ends before it begins")
    if not 0 <= grace_days <= (0 if expires is None else MAX_GRACE_DAYS):
        raise FormatError("licence-dates", f"has {grace_days} days of grace")
    if (expires or 0) + grace_days * DAY > LATEST_SECOND:
        raise FormatError("licence-dates", "ends after the year 9999")
    if streams is not None and not 1 <= streams <= MAX_STREAMS:
        raise FormatError("licence-limits", f"allows {streams} streams")
    if len(body["hosts"]) > MAX_HOSTS:
        raise FormatError("licence-limits", f"is bound to over {MAX_HOSTS} hosts")
    hosts = tuple(HostBinding.from_dict(item) for item in body["hosts"])
    return Terms(body["customer"], not_before, expires, grace_days, streams, hosts)


def _seconds(body: dict[str, Any], name: str) -> int:
    try:
        return unix_seconds(body[name])
    except ValueError:
        message = f"has a time that is not like 2026-01-31T12:00:00Z: {name}"
        raise FormatError("licence-dates", message) from None
