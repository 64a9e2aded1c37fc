"""Reading the envelope: which files are encrypted, for whom, and their data keys.

``model/envelope.json`` holds a header and, for each recipient, the files' data keys wrapped by
HPKE (RFC 9180), or under a passphrase, with the header's SHA-256 as ``info``: a header that was
changed opens nothing. docs/format.md has every field.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import itertools
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke

from asrpack.bundle import passphrase
from asrpack.bundle.keys import Key
from asrpack.bundle.payload import EncryptedFile
from asrpack.bundle.verify import (
    FormatError,
    canonical_base64,
    canonical_json,
    check_shape,
    read_beneath,
    strict_json,
)
from asrpack.errors import IntegrityError, KeyFileError

ENVELOPE_FILE = "model/envelope.json"
ENVELOPE_FORMAT = "asrpack-envelope/1"
SUITE = "hpke-hkdf-sha256-aes-256-gcm"
KEMS = {"x-wing": hpke.KEM.MLKEM768_X25519, "x25519": hpke.KEM.X25519}
DATA_KEY_SIZE = 32
HPKE_TAG_SIZE = 16
MAX_RECIPIENTS = 64
MAX_ENCRYPTED_FILES = 64
MAX_ENVELOPE = 1 << 20

_SHAPE = {
    "header": {
        "format": str,
        "suite": str,
        "bundle_id": str,
        "signer": str,
        "files": [dict],
    },
    "recipients": [dict],
}
_STANZA = {"kid": str, "kem": str, "wrapped": str}
_COST = {"memory": int, "passes": int, "lanes": int}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_HEX = re.compile(r"[0-9a-f]{64}")
_DAMAGED = "get the bundle again from its vendor"


@dataclass(frozen=True)
class Recipient:
    """The data keys wrapped for one public key, or under one passphrase.

    Attributes:
        kid: SHA-256 of the recipient's public key, hexadecimal; of a passphrase, its salt.
        kem: ``x-wing``, ``x25519`` or ``argon2id``.
        wrapped: HPKE's encapsulated key and ciphertext one after the other; of a passphrase, a
            Cobblestone-256 payload.
        cost: of a passphrase, Argon2id's; None for a key.
    """

    kid: str
    kem: str
    wrapped: bytes
    cost: passphrase.Cost | None = None

    def as_json(self) -> dict[str, Any]:
        """The recipient as it stands in the envelope."""
        cost = {} if self.cost is None else asdict(self.cost)
        return {
            "kid": self.kid,
            "kem": self.kem,
            **cost,
            "wrapped": base64.b64encode(self.wrapped).decode(),
        }


@dataclass(frozen=True)
class Header:
    """What every recipient's wrapped key is bound to.

    Attributes:
        bundle_id: UUID (version 4).
        signer: DER SubjectPublicKeyInfo of the key that signs the bundle.
        files: sorted by path.
    """

    bundle_id: str
    signer: bytes
    files: tuple[EncryptedFile, ...]

    def as_json(self) -> dict[str, Any]:
        """The header as it stands in the envelope."""
        return {
            "format": ENVELOPE_FORMAT,
            "suite": SUITE,
            "bundle_id": self.bundle_id,
            "signer": base64.b64encode(self.signer).decode(),
            "files": [item.as_json() for item in self.files],
        }

    @property
    def info(self) -> bytes:
        """HPKE's ``info``: SHA-256 of the header in canonical JSON."""
        return hashlib.sha256(canonical_json(self.as_json())).digest()


@dataclass(frozen=True)
class Envelope:
    """A whole envelope, read and checked but not opened."""

    header: Header
    recipients: tuple[Recipient, ...]

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(
            {
                "header": self.header.as_json(),
                "recipients": [item.as_json() for item in self.recipients],
            }
        )

    @classmethod
    def from_json(cls, data: bytes, place: str = ENVELOPE_FILE) -> Envelope:
        """Reads what :meth:`to_json` wrote, and that only.

        Raises:
            IntegrityError: another format or algorithm, fields missing or unknown, over 64
                recipients, the same recipient twice, not canonical.
        """
        try:
            return _parse(data)
        except FormatError as error:
            raise IntegrityError(
                f"the envelope cannot be used: {error}",
                code="envelope-" + error.code.removeprefix("envelope-"),
                place=place,
                remedy=_DAMAGED,
            ) from None


def suite(kem: str) -> hpke.Suite:
    """The HPKE suite for a KEM's name; HKDF-SHA256 and AES-256-GCM throughout."""
    return hpke.Suite(KEMS[kem], hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def read_signer(bundle: Path) -> bytes:
    """The signer named by a bundle's envelope, as a public key in DER; nothing is verified yet.

    For a recipient without a pinned key: verify the bundle against this key, then open the
    envelope, whose wrapped keys are bound to the same signer.

    Raises:
        IntegrityError: there is no envelope, or it cannot be used.
    """
    try:
        data = read_beneath(bundle, ENVELOPE_FILE, MAX_ENVELOPE)
    except OSError as error:
        codes = {errno.ENOENT: "envelope-missing", errno.EFBIG: "too-large"}
        raise IntegrityError(
            f"the envelope cannot be read: {error.strerror}",
            code=codes.get(error.errno or 0, "unreadable"),
            place=str(bundle / ENVELOPE_FILE),
            remedy=_DAMAGED,
        ) from None
    return Envelope.from_json(data).header.signer


def open_envelope(data: bytes, identity: Key) -> dict[str, bytes]:
    """Unwraps the data keys.

    Args:
        data: the verified bytes of ``model/envelope.json``.
        identity: a recipient's private key.

    Returns:
        The 32-byte data key of each encrypted file by its path.

    Raises:
        KeyFileError: the bundle is not for this key.
        IntegrityError: the envelope is not what was wrapped for this key.
    """
    envelope = Envelope.from_json(data)
    if identity.algorithm == passphrase.ALGORITHM:
        keys = _unwrap_by_passphrase(envelope, identity)
    else:
        keys = _unwrap_by_key(envelope, identity)
    return {
        item.path: keys[i * DATA_KEY_SIZE : (i + 1) * DATA_KEY_SIZE]
        for i, item in enumerate(envelope.header.files)
    }


def _unwrap_by_key(envelope: Envelope, identity: Key) -> bytes:
    mine = next((item for item in envelope.recipients if item.kid == identity.fingerprint), None)
    if mine is None:
        kids = ", ".join(item.kid for item in envelope.recipients)
        raise KeyFileError(
            f"the bundle is not for this key: it is for {kids}; given was {identity.fingerprint}",
            code="identity-not-recipient",
            place=ENVELOPE_FILE,
            remedy="use the private key of one of these key ids (`asrpack keys show` prints a "
            "key's id), or ask the vendor for a bundle for yours",
        )
    try:
        if mine.kem != identity.algorithm:
            raise InvalidTag
        return suite(mine.kem).decrypt(mine.wrapped, identity.handle, envelope.header.info)
    except (InvalidTag, ValueError):
        raise IntegrityError(
            f"the data keys for {mine.kid} do not open: the envelope was changed",
            code="envelope-wrapped-key",
            place=ENVELOPE_FILE,
            remedy=_DAMAGED,
        ) from None


def _unwrap_by_passphrase(envelope: Envelope, identity: Key) -> bytes:
    count = 0
    for item in envelope.recipients:
        if item.cost is None:
            continue
        count += 1
        salt = bytes.fromhex(item.kid)
        keys = passphrase.unwrap(
            item.wrapped, identity.handle, salt, item.cost, envelope.header.info
        )
        if keys is not None:
            return keys
    if not count:
        raise KeyFileError(
            "the bundle is for keys, not for a passphrase",
            code="identity-not-recipient",
            place=ENVELOPE_FILE,
            remedy="give your private key, or ask the vendor to add your passphrase",
        )
    raise KeyFileError(
        "the passphrase is not one that this bundle is for",
        code="passphrase-wrong",
        place=ENVELOPE_FILE,
        remedy="check it, and the file or variable that it comes from",
    )


def _parse(data: bytes) -> Envelope:
    code = "envelope-format"
    outer = strict_json(data, MAX_ENVELOPE)
    check_shape(outer, _SHAPE, "the envelope", code)
    head = outer["header"]
    if head["format"] != ENVELOPE_FORMAT:
        raise FormatError(code, f"its format is {head['format']!r}, not {ENVELOPE_FORMAT!r}")
    if not UUID.fullmatch(head["bundle_id"]):
        raise FormatError(code, "its bundle_id is not a UUID of version 4")
    if head["suite"] != SUITE:
        raise FormatError("envelope-algorithm", f"the suite {head['suite']!r} is not known")
    files = [EncryptedFile.from_json(item) for item in head["files"]]
    if not 0 < len(files) <= MAX_ENCRYPTED_FILES or not _ascending([f.path for f in files]):
        raise FormatError(code, "its files are none, too many, unsorted or given twice")
    recipients = []
    if not 0 < len(outer["recipients"]) <= MAX_RECIPIENTS:
        raise FormatError("envelope-recipients", f"must have 1 to {MAX_RECIPIENTS} recipients")
    for item in outer["recipients"]:
        recipients.append(_parse_recipient(item, len(files)))
    if not _ascending([item.kid for item in recipients]):
        raise FormatError("envelope-recipients", "its recipients are unsorted or given twice")
    if sum(item.cost is not None for item in recipients) > passphrase.MAX_STANZAS:
        raise FormatError("envelope-recipients", f"has over {passphrase.MAX_STANZAS} passphrases")
    if canonical_json(outer) != data:
        raise FormatError("json-not-canonical", "it is not canonical JSON")
    signer = canonical_base64(head["signer"], "the signer", code)
    return Envelope(Header(head["bundle_id"], signer, tuple(files)), tuple(recipients))


def _parse_recipient(item: dict[str, Any], count: int) -> Recipient:
    code = "envelope-recipients"
    kem = item.get("kem")
    if kem != passphrase.ALGORITHM and not (isinstance(kem, str) and kem in KEMS):
        raise FormatError("envelope-algorithm", f"the KEM {kem!r} is not known")
    by_key = kem in KEMS
    check_shape(item, _STANZA if by_key else _STANZA | _COST, "a recipient", code)
    if not _HEX.fullmatch(item["kid"]):
        raise FormatError(code, "a key id is not 32 bytes in lower-case hexadecimal")
    cost = None if by_key else passphrase.Cost(item["memory"], item["passes"], item["lanes"])
    if cost is not None and cost.fault:
        raise FormatError("envelope-passphrase-cost", f"the {cost.fault}")
    wrapped = canonical_base64(item["wrapped"], "a wrapped key", code)
    overhead = KEMS[kem].enc_length() + HPKE_TAG_SIZE if by_key else passphrase.OVERHEAD
    if len(wrapped) != (expected := overhead + count * DATA_KEY_SIZE):
        raise FormatError(code, f"a wrapped key has {len(wrapped)} bytes, not {expected}")
    return Recipient(item["kid"], kem, wrapped, cost)


def _ascending(names: list[str]) -> bool:
    return all(a < b for a, b in itertools.pairwise(names))
