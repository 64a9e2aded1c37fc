"""Reading keys: what kind a text is, and the one kind that is needed where.

Four kinds: ``signing`` (ECDSA P-256 or P-384; PKCS#8 and SubjectPublicKeyInfo in PEM),
``signing-pq`` (ML-DSA-65 in the same containers), ``recipient`` (X25519 in the same containers, or
X-Wing under labels of its own) and ``watermark`` (32 random bytes under a label of its own).
docs/format.md gives the labels.

An X-Wing private key is the 32-byte seed of draft-connolly-cfrg-xwing-kem, its public key the
1216 bytes of ML-KEM-768 and X25519 one after the other.

Where a private key is wanted, two more labels are read, which :mod:`asrpack.bundle.secrets` makes
and a file may hold: a passphrase in the place of a recipient's key, and a reference to a key that
a provider has (:mod:`asrpack.bundle.key_providers`), in a token for instance.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa, mlkem, x25519

from asrpack.bundle import passphrase
from asrpack.bundle.key_providers import open_reference
from asrpack.bundle.verify import CURVE_NAMES
from asrpack.errors import KeyFileError

XWING_PRIVATE = "ASRPACK X-WING PRIVATE KEY"
XWING_PUBLIC = "ASRPACK X-WING PUBLIC KEY"
WATERMARK = "ASRPACK WATERMARK KEY"
PASSPHRASE = "ASRPACK PASSPHRASE"
REFERENCE = "ASRPACK KEY REFERENCE"
MAX_REFERENCE = 4096
XWING_SEED_SIZE = 32
XWING_PUBLIC_SIZE = 1216
MLKEM_PUBLIC_SIZE = 1184
WATERMARK_SIZE = 32

Kind = Literal["signing", "signing-pq", "recipient", "watermark"]
_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 -]{1,64})-----\s(.*?)-----END \1-----", re.DOTALL | re.ASCII
)


@dataclass(frozen=True)
class Key:
    """One key as read from its text.

    Attributes:
        kind: what it is for.
        algorithm: ``ecdsa-p256``, ``ecdsa-p384``, ``ml-dsa-65``, ``x-wing``, ``x25519``,
            ``argon2id`` (a passphrase) or ``random-256``.
        private: whether it must be kept secret.
        public_bytes: DER SubjectPublicKeyInfo; the raw 1216 bytes for X-Wing; for a watermark
            key, which has no public half, a hash of it; empty for a passphrase.
        handle: the key as ``cryptography`` takes it, which need not hold the secret; 32 bytes for
            a watermark key, the text for a passphrase.
    """

    kind: Kind
    algorithm: str
    private: bool
    public_bytes: bytes
    handle: Any = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public half, hexadecimal. A recipient's is its key id (``kid``)."""
        return hashlib.sha256(self.public_bytes).hexdigest()


def read_key(data: bytes, place: str) -> Key:
    """Reads any key that asrpack knows and whose bytes are here.

    Args:
        data: the file's bytes.
        place: where they came from, for messages. Messages never repeat ``data``.

    Raises:
        KeyFileError: empty, truncated, encrypted, several keys, or an unknown kind of key; a
            passphrase or a reference, which only :func:`private_key` takes.
    """
    if not data.strip():
        raise _error("key-empty", "the key is empty", place)
    blocks = _BLOCK.findall(data.decode("ascii", "replace"))
    if not blocks:
        cut = b"-----BEGIN" in data
        raise _error(
            "key-truncated" if cut else "key-format",
            "the key is cut short: it has no END line" if cut else "this is not a key in PEM",
            place,
            "copy the whole file again" if cut else "give a key that `asrpack keys generate` made",
        )
    if len(blocks) > 1:
        raise _error("key-several", f"the file holds {len(blocks)} keys, not one", place)
    label, body = blocks[0]
    if "ENCRYPTED" in label or "ENCRYPTED" in body:
        raise _error(
            "key-encrypted",
            "the key is protected by a passphrase",
            place,
            "let a command decrypt it, e.g. cmd:'openssl pkey -in KEY -passin …'",
        )
    if label in (PASSPHRASE, REFERENCE):
        raise _error(
            "key-wrong-half",
            "a passphrase or a reference stands for a private key only",
            place,
        )
    try:
        if label in (XWING_PRIVATE, XWING_PUBLIC, WATERMARK):
            return _OWN_LABELS[label](_decode(body))
        if label.endswith("PRIVATE KEY"):
            return _from_handle(serialization.load_pem_private_key(data, None), private=True)
        if label == "PUBLIC KEY":
            return _from_handle(serialization.load_pem_public_key(data), private=False)
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error) as error:
        cause = str(error) if isinstance(error, _UnsupportedKeyError) else "it is damaged"
        raise _error("key-format", f"the key cannot be read: {cause}", place) from None
    raise _error("key-format", f"a {label.lower()} is not a key that asrpack uses", place)


def private_key(data: bytes, place: str) -> Key:
    """Reads a key of one's own: what :func:`read_key` reads, a passphrase or a reference.

    Never for data of somebody else: a reference may have a provider load and run things.

    Raises:
        KeyFileError: as :func:`read_key`, or no provider has what is referred to.
        ToolchainError: what the provider needs is not installed.
    """
    blocks = _BLOCK.findall(data.decode("ascii", "replace"))
    if len(blocks) != 1 or blocks[0][0] not in (PASSPHRASE, REFERENCE):
        return read_key(data, place)
    label, body = blocks[0]
    try:
        raw = _decode(body)
        if label == PASSPHRASE:
            secret = passphrase.normalise(raw, place)
            return Key("recipient", passphrase.ALGORITHM, True, b"", secret)
        reference = raw.decode("ascii")
        if not reference.isprintable() or not 0 < len(reference) <= MAX_REFERENCE:
            raise ValueError
    except (ValueError, binascii.Error):
        raise _error("key-format", f"the {label.lower()} cannot be read", place) from None
    return open_reference(reference)


def _decode(body: str) -> bytes:
    return base64.b64decode("".join(body.split()), validate=True)


def signing_public(data: bytes, place: str) -> Key:
    """A vendor's public signing key. Raises KeyFileError for anything else."""
    return _expect(read_key(data, place), "signing", False, place)


def signing_private(data: bytes, place: str) -> Key:
    """A vendor's private signing key. Raises KeyFileError for anything else."""
    return _expect(private_key(data, place), "signing", True, place)


def post_quantum_private(data: bytes, place: str) -> Key:
    """A vendor's private ML-DSA-65 key. Raises KeyFileError for anything else."""
    return _expect(private_key(data, place), "signing-pq", True, place)


def any_signing_private(data: bytes, place: str) -> Key:
    """A private key of either kind that signs, ``signing`` or ``signing-pq``.

    Raises:
        KeyFileError: anything else.
    """
    return _expect_any_signing(private_key(data, place), True, place)


def any_signing_public(data: bytes, place: str) -> Key:
    """The public half of either. Raises KeyFileError for anything else."""
    return _expect_any_signing(read_key(data, place), False, place)


def _expect_any_signing(key: Key, private: bool, place: str) -> Key:
    return _expect(key, "signing-pq" if key.kind == "signing-pq" else "signing", private, place)


def recipient_public(data: bytes, place: str) -> Key:
    """A recipient's public key. Raises KeyFileError for anything else."""
    return _expect(read_key(data, place), "recipient", False, place)


def recipient_private(data: bytes, place: str) -> Key:
    """A recipient's private key or passphrase (an identity). Raises KeyFileError otherwise."""
    return _expect(private_key(data, place), "recipient", True, place)


def watermark_key(data: bytes, place: str) -> bytes:
    """The 32 bytes of a watermark key. Raises KeyFileError for anything else."""
    return cast(bytes, _expect(private_key(data, place), "watermark", True, place).handle)


def public_pem(key: Key) -> bytes:
    """The public half as text that :func:`read_key` reads.

    Raises:
        ValueError: a watermark key and a passphrase have none.
    """
    if key.kind == "watermark" or key.algorithm == passphrase.ALGORITHM:
        raise ValueError(f"{key.algorithm} has no public half")
    if key.algorithm == "x-wing":
        return armour(XWING_PUBLIC, key.public_bytes)
    return armour("PUBLIC KEY", key.public_bytes)


def armour(label: str, data: bytes) -> bytes:
    """PEM text (RFC 7468)."""
    text = base64.b64encode(data).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def xwing_private(seed: bytes) -> hpke.MLKEM768X25519PrivateKey:
    """Expands a seed of 32 bytes (expandDecapsulationKey of draft-connolly-cfrg-xwing-kem)."""
    if len(seed) != XWING_SEED_SIZE:
        raise _UnsupportedKeyError(f"an X-Wing seed has {XWING_SEED_SIZE} bytes, not {len(seed)}")
    expanded = hashlib.shake_256(seed).digest(96)
    return hpke.MLKEM768X25519PrivateKey(*_xwing_halves(expanded))


def _xwing_halves(
    expanded: bytes,
) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


class _UnsupportedKeyError(ValueError):
    """Its text holds nothing secret and may be shown."""


def _from_xwing_seed(seed: bytes) -> Key:
    handle = xwing_private(seed)
    lattice, curve = _xwing_halves(hashlib.shake_256(seed).digest(96))
    raw = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return Key("recipient", "x-wing", True, raw, handle)


def _from_xwing_public(raw: bytes) -> Key:
    if len(raw) != XWING_PUBLIC_SIZE:
        raise _UnsupportedKeyError(
            f"an X-Wing public key has {XWING_PUBLIC_SIZE} bytes, not {len(raw)}"
        )
    handle = hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(raw[:MLKEM_PUBLIC_SIZE]),
        x25519.X25519PublicKey.from_public_bytes(raw[MLKEM_PUBLIC_SIZE:]),
    )
    return Key("recipient", "x-wing", False, raw, handle)


def _from_watermark(raw: bytes) -> Key:
    if len(raw) != WATERMARK_SIZE:
        raise _UnsupportedKeyError(f"a watermark key has {WATERMARK_SIZE} bytes, not {len(raw)}")
    public = hashlib.sha256(b"asrpack watermark key v1\0" + raw).digest()
    return Key("watermark", "random-256", True, public, raw)


_OWN_LABELS = {
    XWING_PRIVATE: _from_xwing_seed,
    XWING_PUBLIC: _from_xwing_public,
    WATERMARK: _from_watermark,
}


def _from_handle(handle: Any, *, private: bool) -> Key:
    public = handle.public_key() if private else handle
    if isinstance(public, ec.EllipticCurvePublicKey):
        if public.curve.name not in CURVE_NAMES:
            raise _UnsupportedKeyError(f"the curve {public.curve.name} is neither P-256 nor P-384")
        kind, algorithm = "signing", CURVE_NAMES[public.curve.name]
    elif isinstance(public, mldsa.MLDSA65PublicKey):
        kind, algorithm = "signing-pq", "ml-dsa-65"
    elif isinstance(public, x25519.X25519PublicKey):
        kind, algorithm = "recipient", "x25519"
    else:
        raise _UnsupportedKeyError(
            "it is none of ECDSA (P-256, P-384), ML-DSA-65, X25519 and X-Wing"
        )
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Key(cast(Kind, kind), algorithm, private, der, handle)


def _expect(key: Key, kind: Kind, private: bool, place: str) -> Key:
    half = "private" if private else "public"
    is_half = "private" if key.private else "public"
    if key.kind != kind:
        raise _error(
            "key-wrong-kind",
            f"this is a {key.kind} key; a {half} {kind} key is needed",
            place,
            "`asrpack keys show FILE` tells what a file holds",
        )
    if key.private != private:
        raise _error(
            "key-wrong-half",
            f"this is the {is_half} half of a {kind} key; the {half} one is needed",
            place,
            "give the .pub file" if not private else "give the private key's file, not the .pub",
        )
    return key


def _error(code: str, message: str, place: str, remedy: str | None = None) -> KeyFileError:
    return KeyFileError(
        message, code=code, place=place, remedy=remedy or "check which file this is"
    )
