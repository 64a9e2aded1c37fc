#!/usr/bin/env python3
"""Verifies an asrpack bundle: ``python3 -I verify.py [BUNDLE] --trust FILE [--json]``.

One file on purpose: Python's standard library and ``cryptography``, nothing else. It is part of
asrpack and of every bundle. A copy that came with a bundle proves nothing about itself: where
that matters, use the copy of a bundle you trust, or ``asrpack verify``.

A bundle is verified when ``model.sig`` carries one valid ECDSA signature, by a trusted key, over
an OpenSSF Model Signing v1.0 statement (a Sigstore bundle v0.3 holding a DSSE envelope holding
an in-toto Statement v1), and the directory holds exactly the files that the statement lists:
same bytes, no link, no special file, no odd permission. Further signatures over the same
statement, post-quantum or of others who vouch for the bundle, lie in ``signatures/``.

What is trusted is a public key, or a trust policy: who may sign and until when, who must sign
besides, which keys and bundles are revoked, and how old a bundle may be. docs/format.md has
every field.

Exit codes: 0 verified; 2 usage; 3 no such bundle; 6 refused; 7 what is trusted cannot be read.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python looks for modules beside a script first: one put there must not run.
    del sys.path[0]

import argparse
import base64
import binascii
import errno
import hashlib
import json
import os
import re
import stat
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

try:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
except ImportError:  # an older cryptography verifies all but the post-quantum signatures
    MLDSA65PublicKey = None  # type: ignore[assignment,misc]

SIGNATURE_FILE = "model.sig"
SIGNATURES = "signatures"
METADATA_FILE = "asrpack.json"
BUNDLE_FORMAT = "asrpack-bundle/1"
TRUST_FORMAT = "asrpack-trust/1"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SERIALIZATION = {"allow_symlinks": False, "hash_type": "sha256", "method": "files"}
_DSSE_SHAPE = {"keyid": str, "sig": str}
_SIGNATURE_SHAPE = {
    "mediaType": str,
    "verificationMaterial": {"publicKey": {"hint": str}, "tlogEntries": list},
    "dsseEnvelope": {"payload": str, "payloadType": str, "signatures": [_DSSE_SHAPE]},
}
_RESOURCE_SHAPE = {"algorithm": str, "digest": str, "name": str}
_STATEMENT_SHAPE = {
    "_type": str,
    "subject": [{"name": str, "digest": {"sha256": str}}],
    "predicateType": str,
    "predicate": {"serialization": dict, "resources": [_RESOURCE_SHAPE]},
}
# What a policy asks of the metadata.
_TERMS_SHAPE = {"bundle_id": str, "name": str, "created": str, "sequence": int}
# A tuple's second member says that null may stand there, too.
_SIGNER_SHAPE = {
    "name": str,
    "key": str,
    "post_quantum": (str, None),
    "not_before": (str, None),
    "not_after": (str, None),
}
_TRUST_SHAPE = {
    "format": str,
    "signers": [_SIGNER_SHAPE],
    "countersigners": [{"name": str, "key": str}],
    "revoked": {"keys": [str], "bundles": [str]},
    "minimum_sequence": dict,
    "created_since": (str, None),
    "maximum_age_days": (int, None),
}
CURVES = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}
CURVE_NAMES = {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384"}
MLDSA_SIGNATURE = 3309  # bytes of ML-DSA-65's (FIPS 204)
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
DAY = 86400

MAX_JSON = 4 << 20  # bytes of model.sig: about 20,000 files
MAX_FILE = 64 << 30  # bytes; a sparse terabyte would keep the hash busy for ten minutes
MAX_FILES = 20_000
MAX_FINDINGS = 1000
MAX_SIGNATURES = 16  # beside model.sig
MAX_TRUST = 1 << 20  # bytes of a policy: about 15,000 revoked keys
MAX_SIGNERS = 64
MAX_DEPTH = 32  # of directories and of JSON
MAX_VALUES = 200_000  # of JSON, escapes counted, too: 20,000 files take 80,000
MAX_MESSAGE = 500  # characters: a message quotes what may be a megabyte
MAX_NAME = 1024  # bytes of a path in UTF-8
MAX_INTEGER = 2**53 - 1  # larger ones are not exact in every JSON reader
READ_SIZE = 1 << 20

_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIR_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_FURTHER = re.compile(SIGNATURES + r"/([0-9a-f]{64})\.sig")
_HEX = re.compile("[0-9a-f]{64}")
# A string without an end goes to the text's: no bracket is looked at twice.
_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_WINDOWS_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|(COM|LPT)[1-9]) *(\..*)?", re.IGNORECASE)
_GET_AGAIN = "do not use this copy; get the bundle again from its vendor"
_REMEDIES = {
    "extra-file": "remove it, or get the bundle again from its vendor",
    "extra-directory": "remove it, or get the bundle again from its vendor",
    "empty-directory": "remove it, or get the bundle again from its vendor",
    "mode-executable": "chmod a-x it; nothing in a bundle is run by its execute bit",
    "mode-special": "chmod ug-s,o-t it",
    "mode-world-writable": "chmod o-w it",
    "trust-missing": "pass the vendor's public key, or a trust policy that names it, with --trust",
    "signer-untrusted": f"check that the trusted key is this vendor's; if it is, {_GET_AGAIN}",
    "unreadable": "check the file's permissions and the disk",
    "signer-revoked": "do not use it; get a bundle that the vendor signed with another key",
    "signer-not-yet": "get a bundle that the vendor signed with the key of that time",
    "signer-retired": "get a bundle that the vendor signed with the newer key",
    "post-quantum-missing": f"get the bundle again, with its folder {SIGNATURES}/",
    "countersignature-missing": "have it signed by them: asrpack sign BUNDLE --key THEIR_KEY",
    "signature-unknown": "if whoever signed may, `asrpack trust require` or `asrpack trust add` "
    "their key; else remove the file",
    "signature-statement": "remove the file: it is a signature of another bundle",
    "bundle-revoked": "do not use it; get a newer bundle from its vendor",
    "rolled-back": "use the newer bundle, or get one from its vendor",
    "bundle-too-old": "get a newer bundle from its vendor",
    "created-in-future": "set this host's clock; if it is right, get the bundle again",
}
_PYCACHE_REMEDY = "remove it, and run Python with PYTHONDONTWRITEBYTECODE=1 set"


@dataclass(frozen=True)
class Finding:
    """One reason to refuse a bundle. ``path`` is relative to it; None stands for all of it."""

    code: str
    path: str | None
    message: str
    remedy: str


class RefusedError(Exception):
    """The bundle is not what its vendor signed. ``findings`` holds every reason found."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{item.path or 'bundle'}: {item.message}" for item in findings))
        self.findings = tuple(findings)


class FormatError(ValueError):
    """Data that breaks its format. ``code`` is a stable identifier."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + "…")
        self.code = code


@dataclass(frozen=True)
class TrustedKey:
    """A public key: SubjectPublicKeyInfo in DER, and the SHA-256 of its PEM that OMS calls hint."""

    key: Any = field(repr=False)
    der: bytes = field(repr=False)
    hint: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def algorithm(self) -> str:
        """``ecdsa-p256``, ``ecdsa-p384`` or ``ml-dsa-65``."""
        return CURVE_NAMES[self.key.curve.name] if self.signs_bundles else "ml-dsa-65"

    @property
    def signs_bundles(self) -> bool:
        """Whether ``model.sig`` can be by it: OMS knows ECDSA only."""
        return isinstance(self.key, ec.EllipticCurvePublicKey)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises InvalidSignature. An ECDSA signature is DER, one of ML-DSA its 3309 bytes."""
        if self.signs_bundles:
            self.key.verify(signature, data, ec.ECDSA(CURVES[self.key.curve.name]))
        else:
            self.key.verify(signature, data)


@dataclass(frozen=True)
class Signer:
    """A key that a policy pins.

    Attributes:
        name: what the policy calls whose it is.
        post_quantum: an ML-DSA-65 key that must have signed, too.
        not_before, not_after: bounds of ``created`` of what this key may sign.
    """

    name: str
    key: TrustedKey
    post_quantum: TrustedKey | None = None
    not_before: str | None = None
    not_after: str | None = None


@dataclass(frozen=True)
class Policy:
    """What a host trusts; times are texts like ``2026-01-31T12:00:00Z``, which sort as time does.

    Attributes:
        signers: who may sign a bundle.
        countersigners: who must have signed it besides, all of them.
        revoked_keys, revoked_bundles: fingerprints and ids that nothing else here saves.
        minimum_sequence: by a bundle's name; a lower one is a roll-back.
        created_since: no bundle older than that.
        maximum_age_days: days from a bundle's ``created`` in which it is accepted.
        closed: a signature by a key that is none of these is refused, not passed over.
    """

    signers: tuple[Signer, ...] = ()
    countersigners: tuple[Signer, ...] = ()
    revoked_keys: frozenset[str] = frozenset()
    revoked_bundles: frozenset[str] = frozenset()
    minimum_sequence: Mapping[str, int] = field(default_factory=dict)
    created_since: str | None = None
    maximum_age_days: int | None = None
    closed: bool = False

    @property
    def keys(self) -> dict[str, tuple[str, str, TrustedKey]]:
        """Role, name and key by fingerprint."""
        known = {item.key.fingerprint: ("signer", item.name, item.key) for item in self.signers}
        for item in self.signers:
            if item.post_quantum:
                key = item.post_quantum
                known[key.fingerprint] = ("post-quantum", item.name, key)
        for item in self.countersigners:
            known[item.key.fingerprint] = ("countersigner", item.name, item.key)
        return known


@dataclass(frozen=True)
class Signature:
    """A signature of a verified bundle.

    Attributes:
        path: ``model.sig`` or ``signatures/….sig``.
        role: ``signer``, ``post-quantum``, ``countersigner``, or ``unknown``: by a key that is
            not pinned, and so not checked.
        name: what the policy calls whose the key is; empty where no policy does.
        fingerprint: of the key.
        algorithm: empty where the key is unknown.
    """

    path: str
    role: str
    name: str
    fingerprint: str
    algorithm: str


@dataclass(frozen=True)
class Verified:
    """A bundle that passed. Exists only for such a bundle.

    Attributes:
        root: the bundle's directory.
        signer: the trusted key that made ``model.sig``.
        digests: SHA-256 (hexadecimal) of each file by its path.
        statement: the bytes that were signed.
        signatures: all that there are, ``model.sig`` first.
        unread: paths whose bytes were left to be compared by :meth:`read` or :meth:`stream`.
    """

    root: Path
    signer: TrustedKey
    digests: Mapping[str, str]
    statement: bytes = field(repr=False)
    signatures: tuple[Signature, ...]
    unread: frozenset[str] = frozenset()

    def read(self, name: str) -> bytes:
        """The signed bytes of one file.

        Reads once and hashes what it returns, so a file swapped after the verification is
        refused, not used.

        Raises:
            RefusedError: not a signed file, or no longer the signed bytes.
        """
        if name not in self.digests:
            raise RefusedError([_finding("missing-file", name, "is not part of the bundle")])
        try:
            data = read_beneath(self.root, name, MAX_FILE)
        except OSError as error:
            raise RefusedError([_unreadable(name, error)]) from None
        if hashlib.sha256(data).hexdigest() != self.digests[name]:
            raise RefusedError([_finding("changed-file", name, "changed since it was verified")])
        return data

    def stream(self, name: str, use: Callable[[memoryview], None]) -> None:
        """Reads one file once, and hands the very bytes that it hashes to ``use``, in pieces.

        What ``use`` made of them counts only once this returns.

        Raises:
            RefusedError: not a signed file, or not the signed bytes.
        """
        if name not in self.digests:
            raise RefusedError([_finding("missing-file", name, "is not part of the bundle")])
        try:
            with open_directory(self.root) as top:
                fault = _check_file(top, name, self.digests[name], use)
        except OSError as error:
            fault = _unreadable(name, error)
        if fault:
            raise RefusedError([fault])


def _finding(code: str, path: str | None, message: str) -> Finding:
    remedy = _REMEDIES.get(code, _GET_AGAIN)
    if path and "__pycache__" in path.split("/"):
        remedy = _PYCACHE_REMEDY
    return Finding(code, path, message, remedy)


def _unreadable(path: str, error: OSError) -> Finding:
    code = "too-large" if error.errno == errno.EFBIG else "unreadable"
    return _finding(code, path, f"cannot be read: {error.strerror}")


# -- JSON ------------------------------------------------------------------------------------------


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON in one form only: keys sorted by code point, no white space, no escapes to spare.

    For the strings, integers, booleans, lists and objects used here this is RFC 8785.
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def strict_json(data: bytes, limit: int = MAX_JSON) -> Any:
    """Parses JSON with one possible reading.

    Raises:
        FormatError: over ``limit`` bytes, or 200,000 values and escapes; a byte order mark; not
            UTF-8; not JSON or something after it; a key given twice; NaN, a fraction or an
            integer over 2**53 - 1; nesting over 32; an unpaired surrogate.
    """
    if len(data) > limit:
        raise FormatError("json-size", f"is over {limit} bytes")
    # Before it is parsed: in memory a value or an escape of two bytes takes fifty.
    if sum(data.count(mark) for mark in (b",", b"[", b"{", b"\\")) > MAX_VALUES:
        raise FormatError("json-values", f"has over {MAX_VALUES} values and escapes")
    if data.startswith(b"\xef\xbb\xbf"):
        raise FormatError("json-bom", "starts with a byte order mark")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FormatError("json-encoding", "is not UTF-8") from None
    depth = 0
    for token in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(text[token.start()], 0)
        if depth > MAX_DEPTH:
            raise FormatError("json-depth", f"is nested over {MAX_DEPTH} deep")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
        if _SURROGATE.search(data):  # alone or one of a pair
            json.dumps(value, ensure_ascii=False).encode()
    except FormatError:
        raise
    except UnicodeEncodeError:
        raise FormatError("json-encoding", "has an unpaired surrogate") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise FormatError("json-trailing", f"has something after its end: {error}") from None
        raise FormatError("json-syntax", f"is not JSON: {error}") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise FormatError("json-duplicate-key", f"has the key {twice!r} twice")
    return value


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise FormatError("json-number", f"has an integer over 2**53 - 1: {text[:20]}")
    return int(text)


def _no_number(text: str) -> None:
    raise FormatError("json-number", f"has {text[:20]} where only integers are allowed")


def check_shape(value: Any, shape: Any, what: str, code: str) -> None:
    """Checks types and exact field names.

    A shape is a type, {field: shape}, [shape of each] or (shape, None), which allows null.

    Raises:
        FormatError: with ``code`` and the first place that differs.
    """
    if type(shape) is tuple:
        if value is None:
            return
        shape = shape[0]
    kind: type = shape if isinstance(shape, type) else type(shape)
    exact = type(value) is kind  # a bool is no int here
    if not exact:
        raise FormatError(code, f"{what} must be of type {kind.__name__}")
    if type(shape) is dict:
        if set(value) != set(shape):
            raise FormatError(code, f"{what} must have exactly the fields {', '.join(shape)}")
        for name, inner in shape.items():
            check_shape(value[name], inner, name, code)
    elif type(shape) is list:
        for item in value:
            check_shape(item, shape[0], f"an entry of {what}", code)


def canonical_base64(text: str, what: str, code: str) -> bytes:
    """Decodes standard base64 that has only one way to be written.

    Raises:
        FormatError: it has another, or is not base64.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(code, f"{what} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise FormatError(code, f"{what} is not canonical base64")
    return data


# -- Names -----------------------------------------------------------------------------------------


def name_fault(name: str) -> str | None:
    """Why a file must not have this path inside a bundle; None if it may."""
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if length > MAX_NAME or any(len(part.encode()) > 255 for part in name.split("/")):
        return "is too long"
    if name.count("/") > MAX_DEPTH:
        return f"is nested over {MAX_DEPTH} deep"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode normalisation form C"
    if not name.isprintable():
        return "has a character that does not print, or turns the line around"
    if any(c in '\\:<>"|?*' for c in name):
        return "has a character that some systems give a meaning"
    for part in name.split("/"):
        if part in ("", ".", ".."):
            return "is not a plain relative path"
        if part.endswith((".", " ")) or part.startswith(" "):
            return "starts or ends with a space, or ends with a dot"
        if _WINDOWS_DEVICE.fullmatch(part):
            return "is a device on Windows"
    return None


def check_names(names: Iterable[str]) -> None:
    """Checks each path and that no two differ in case only.

    Raises:
        FormatError: with the first path at fault.
    """
    folded: dict[str, str] = {}
    for name in names:
        if fault := name_fault(name):
            raise FormatError("manifest-name", f"lists {name}, a path that {fault}")
        for end in [i for i, c in enumerate(name) if c == "/"] + [len(name)]:
            prefix = name[:end]
            other = folded.setdefault(prefix.casefold(), prefix)
            if other != prefix:
                raise FormatError("manifest-name-case", f"lists {prefix} and {other}")


def show(text: str) -> str:
    """``text`` safe to print: what does not print, or turns a line around, is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# -- Signature -------------------------------------------------------------------------------------


def load_trusted_key(data: bytes) -> TrustedKey:
    """Reads a P-256, P-384 or ML-DSA-65 public key in PEM.

    Raises:
        FormatError: anything else.
    """
    try:
        key = serialization.load_pem_public_key(data)
    except UnsupportedAlgorithm:
        raise FormatError("key-format", "a key that this version of cryptography has not") from None
    except ValueError:
        private = " (a private key: never hand it out)" if b"PRIVATE KEY" in data else ""
        raise FormatError("key-format", f"not a public key in PEM{private}") from None
    if not (
        (isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES)
        or (MLDSA65PublicKey is not None and isinstance(key, MLDSA65PublicKey))
    ):
        raise FormatError("key-format", "not a key of ECDSA (P-256, P-384) or ML-DSA-65")
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_bytes(serialization.Encoding.PEM, info)
    der = key.public_bytes(serialization.Encoding.DER, info)
    return TrustedKey(key, der, hashlib.sha256(pem).hexdigest())


def pae(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding, the bytes that are signed (DSSE protocol v1)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def read_signature(data: bytes, what: str = SIGNATURE_FILE) -> tuple[bytes, bytes, str]:
    """Takes ``model.sig``, or a further signature, apart: payload, signature, the signer's hint.

    Raises:
        FormatError: it is not the one form that asrpack writes.
    """
    outer = strict_json(data)
    check_shape(outer, _SIGNATURE_SHAPE, what, "signature-format")
    envelope, material = outer["dsseEnvelope"], outer["verificationMaterial"]
    if outer["mediaType"] != MEDIA_TYPE:
        raise FormatError("signature-media-type", f"has the media type {outer['mediaType']!r}")
    if material["tlogEntries"]:
        raise FormatError("signature-format", "has log entries, which nothing here checks")
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise FormatError("signature-payload-type", f"signs a {envelope['payloadType']!r}")
    if (count := len(envelope["signatures"])) != 1:
        raise FormatError("signature-count", f"has {count} signatures, not one")
    if envelope["signatures"][0]["keyid"]:
        raise FormatError("signature-format", "has a keyid, which nothing here reads")
    payload = canonical_base64(envelope["payload"], "the payload", "signature-encoding")
    raw = canonical_base64(envelope["signatures"][0]["sig"], "the signature", "signature-encoding")
    if len(raw) != MLDSA_SIGNATURE:
        try:
            if utils.encode_dss_signature(*utils.decode_dss_signature(raw)) != raw:
                raise ValueError
        except ValueError:
            raise FormatError("signature-encoding", "the signature is not canonical DER") from None
    if canonical_json(outer) != data:
        raise FormatError("json-not-canonical", "is not canonical JSON")
    return payload, raw, material["publicKey"]["hint"]


def read_statement(payload: bytes) -> dict[str, str]:
    """Reads the signed statement: SHA-256 (hexadecimal) of each file by its path.

    Raises:
        FormatError: another statement or predicate, or a list that is not exact.
    """
    top = strict_json(payload)
    check_shape(top, _STATEMENT_SHAPE, "the statement", "statement-format")
    if top["_type"] != STATEMENT_TYPE:
        raise FormatError("statement-type", f"signs a statement of type {top['_type']!r}")
    if top["predicateType"] != PREDICATE_TYPE:
        raise FormatError("predicate-type", f"signs a predicate of type {top['predicateType']!r}")
    if canonical_json(top["predicate"]["serialization"]) != canonical_json(SERIALIZATION):
        raise FormatError("manifest-serialization", f"lists files otherwise than {SERIALIZATION}")
    digests: dict[str, str] = {}
    for item in top["predicate"]["resources"]:
        name, digest = item["name"], item["digest"]
        if item["algorithm"] != "sha256" or not _HEX.fullmatch(digest):
            raise FormatError("manifest-digest", f"gives no SHA-256 in lower case for {name}")
        if name in digests:
            raise FormatError("manifest-duplicate", f"lists {name} twice")
        digests[name] = digest
    if list(digests) != sorted(digests):
        raise FormatError("manifest-order", "does not list the files in order")
    if len(digests) > MAX_FILES:
        raise FormatError("manifest-length", f"lists over {MAX_FILES} files")
    if any(name.split("/")[0] in (SIGNATURE_FILE, SIGNATURES) for name in digests):
        raise FormatError("manifest-name", "lists a signature, which cannot sign itself")
    check_names(digests)
    if len(top["subject"]) != 1 or top["subject"][0]["digest"]["sha256"] != root_digest(digests):
        raise FormatError("manifest-root-digest", "the subject's digest is not that of the files")
    if canonical_json(top) != payload:
        raise FormatError("json-not-canonical", "the statement is not canonical JSON")
    return digests


def root_digest(digests: Mapping[str, str]) -> str:
    """OMS's digest of all: SHA-256 over the files' binary digests in the order of their paths."""
    whole = hashlib.sha256()
    for name in sorted(digests):
        whole.update(bytes.fromhex(digests[name]))
    return whole.hexdigest()


# -- Trust -----------------------------------------------------------------------------------------


def read_policy(data: bytes) -> Policy:
    """Reads one thing that a host trusts: a public key in PEM, or a trust policy.

    A key alone asks for its signature and nothing else.

    Raises:
        FormatError: it is neither; an ML-DSA-65 key alone, which can only be pinned beside another.
    """
    if not data.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{"):
        return Policy((Signer("", _bundle_key(data)),))
    raw = strict_json(data, MAX_TRUST)
    if type(raw) is not dict or raw.get("format") != TRUST_FORMAT:
        raise FormatError("trust-format", f"not a trust policy of format {TRUST_FORMAT}")
    check_shape(raw, _TRUST_SHAPE, "the trust policy", "trust-format")
    signers = [_read_signer(item) for item in raw["signers"]]
    countersigners = [
        Signer(item["name"], load_trusted_key(item["key"].encode()))
        for item in raw["countersigners"]
    ]
    _check_pinned(signers, countersigners)
    revoked, least, age = raw["revoked"], raw["minimum_sequence"], raw["maximum_age_days"]
    if not all(_HEX.fullmatch(item) for item in revoked["keys"]):
        raise FormatError("trust-format", "a revoked key is not named by its id, a SHA-256")
    if not all(type(value) is int and value >= 0 for value in least.values()):
        raise FormatError("trust-format", "minimum_sequence must give each name a whole number")
    if age is not None and age < 1:
        raise FormatError("trust-format", "maximum_age_days must be 1 or more")
    _check_time(raw["created_since"], "created_since")
    return Policy(
        tuple(signers),
        tuple(countersigners),
        frozenset(revoked["keys"]),
        frozenset(revoked["bundles"]),
        least,
        raw["created_since"],
        age,
        closed=True,
    )


def _read_signer(item: dict[str, Any]) -> Signer:
    key, other = _bundle_key(item["key"].encode()), None
    if item["post_quantum"] is not None:
        other = load_trusted_key(item["post_quantum"].encode())
        if other.signs_bundles:
            raise FormatError("trust-format", f"the post-quantum key of {item['name']} is not one")
    for name in ("not_before", "not_after"):
        _check_time(item[name], name)
    return Signer(item["name"], key, other, item["not_before"], item["not_after"])


def _bundle_key(data: bytes) -> TrustedKey:
    key = load_trusted_key(data)
    if not key.signs_bundles:
        raise FormatError("key-format", "an ML-DSA-65 key, which is pinned beside an ECDSA key")
    return key


def _check_pinned(signers: list[Signer], countersigners: list[Signer]) -> None:
    names = [item.name for item in [*signers, *countersigners]]
    keys = [item.key.der for item in [*signers, *countersigners]]
    keys += [item.post_quantum.der for item in signers if item.post_quantum]
    if len(signers) > MAX_SIGNERS or len(countersigners) > MAX_SIGNERS:
        raise FormatError("trust-format", f"pins over {MAX_SIGNERS} signers")
    if len(set(names)) < len(names) or len(set(keys)) < len(keys):
        raise FormatError("trust-format", "has a name or a key twice")
    if not all(name.isprintable() and 0 < len(name) <= 128 for name in names):
        raise FormatError("trust-format", "a name is empty, over 128 characters or does not print")


def _check_time(text: str | None, what: str) -> None:
    try:
        if text is not None and datetime.strptime(text, TIME_FORMAT).strftime(TIME_FORMAT) != text:
            raise ValueError
    except ValueError:
        raise FormatError("trust-format", f"{what} is no time like 2026-01-31T12:00:00Z") from None


def load_policy(trust: Sequence[bytes]) -> Policy:
    """All that a host trusts as one policy: any of the signers, and all else that any item asks.

    Raises:
        FormatError: as :func:`read_policy`.
    """
    items = [read_policy(data) for data in trust]
    least: dict[str, int] = {}
    for item in items:
        for name, value in item.minimum_sequence.items():
            least[name] = max(value, least.get(name, 0))
    return Policy(
        tuple(signer for item in items for signer in item.signers),
        tuple(signer for item in items for signer in item.countersigners),
        frozenset().union(*(item.revoked_keys for item in items)),
        frozenset().union(*(item.revoked_bundles for item in items)),
        least,
        max((item.created_since for item in items if item.created_since), default=None),
        min((item.maximum_age_days for item in items if item.maximum_age_days), default=None),
        any(item.closed for item in items),
    )


@dataclass
class _Signed:
    """What was found of a bundle's signatures."""

    entries: tuple[Signer, ...] = ()  # of the policy, for the key of model.sig
    payload: bytes = b""
    digests: dict[str, str] | None = None
    signatures: tuple[Signature, ...] = ()


def _check_signature(data: bytes, policy: Policy) -> tuple[_Signed, list[Finding]]:
    try:
        payload, signature, hint = read_signature(data)
    except FormatError as fault:
        return _Signed(), [_finding(fault.code, SIGNATURE_FILE, str(fault))]
    findings: list[Finding] = []
    signed = _Signed(tuple(item for item in policy.signers if item.key.hint == hint), payload)
    if signed.entries:
        signer = signed.entries[0]
        signed.signatures = (_signature(SIGNATURE_FILE, "signer", signer.name, signer.key),)
        findings += _check_one(SIGNATURE_FILE, signer.key, signature, payload, policy)
    elif policy.signers:
        message = f"was signed by another key (hint {hint[:64]}), none of the trusted ones"
        findings.append(_finding("signer-untrusted", SIGNATURE_FILE, message))
    try:
        signed.digests = read_statement(payload)
    except FormatError as fault:
        findings.append(_finding(fault.code, SIGNATURE_FILE, str(fault)))
    return signed, findings


def _signature(path: str, role: str, name: str, key: TrustedKey) -> Signature:
    return Signature(path, role, name, key.fingerprint, key.algorithm)


def _check_one(
    path: str, key: TrustedKey, signature: bytes, payload: bytes, policy: Policy
) -> Iterator[Finding]:
    try:
        key.verify(signature, pae(payload))
    except InvalidSignature:
        yield _finding("signature-invalid", path, "the signature is not valid for what it signs")
    if key.fingerprint in policy.revoked_keys:
        yield _finding("signer-revoked", path, f"was signed by a revoked key: {key.fingerprint}")


def _check_further(
    root: Path, paths: Sequence[str], limit: int, signed: _Signed, policy: Policy
) -> Iterator[Finding]:
    """Checks ``signatures/``, and that nobody is missing there."""
    known = policy.keys
    for path in paths:
        fingerprint = path.removeprefix(SIGNATURES + "/").removesuffix(".sig")
        try:
            payload, signature, hint = read_signature(read_beneath(root, path, limit), path)
        except OSError as error:
            yield _unreadable(path, error)
            continue
        except FormatError as fault:
            yield _finding(fault.code, path, str(fault))
            continue
        if payload != signed.payload:
            yield _finding("signature-statement", path, "signs something else than model.sig")
        elif fingerprint in known:
            role, name, key = known[fingerprint]
            if hint != key.hint:
                yield _finding("signature-hint", path, "names another key than its file name does")
            yield from _check_one(path, key, signature, payload, policy)
            signed.signatures += (_signature(path, role, name, key),)
        elif policy.closed:
            message = f"is by a key that the trust policy does not name: {fingerprint}"
            yield _finding("signature-unknown", path, message)
        else:
            signed.signatures += (Signature(path, "unknown", "", fingerprint, ""),)
    for item in signed.entries:
        if item.post_quantum and (path := _further(item.post_quantum)) not in paths:
            message = f"is missing: {item.name} signs with ML-DSA, too"
            yield _finding("post-quantum-missing", path, message)
    for item in policy.countersigners:
        if (path := _further(item.key)) not in paths:
            yield _finding("countersignature-missing", path, f"is missing: {item.name} must sign")


def _further(key: TrustedKey) -> str:
    return f"{SIGNATURES}/{key.fingerprint}.sig"


def _check_terms(
    metadata: dict[str, Any], entries: Sequence[Signer], policy: Policy
) -> Iterator[Finding]:
    """What a policy asks of a bundle whose metadata its vendor signed."""
    terms: dict[str, Any] = {name: metadata.get(name) for name in _TERMS_SHAPE}
    try:
        check_shape(terms, _TERMS_SHAPE, METADATA_FILE, "metadata-format")
        _check_time(terms["created"], "created")
    except FormatError as fault:
        yield _finding("metadata-format", METADATA_FILE, str(fault))
        return
    created, name, sequence = terms["created"], terms["name"], terms["sequence"]
    if terms["bundle_id"] in policy.revoked_bundles:
        yield _finding("bundle-revoked", None, f"is revoked: {terms['bundle_id']}")
    if sequence < (least := policy.minimum_sequence.get(name, 0)):
        message = f"is an older {name}: its sequence is {sequence}, at least {least} is accepted"
        yield _finding("rolled-back", None, message)
    if policy.created_since and created < policy.created_since:
        message = f"was created on {created}, before {policy.created_since}"
        yield _finding("bundle-too-old", None, message)
    if policy.maximum_age_days:
        age = time.time() - datetime.strptime(created, TIME_FORMAT).replace(tzinfo=UTC).timestamp()
        if age > policy.maximum_age_days * DAY:
            message = f"was created on {created}, over {policy.maximum_age_days} days ago"
            yield _finding("bundle-too-old", None, message)
        elif age < -DAY:
            yield _finding("created-in-future", None, f"was created on {created}, in the future")
    for item in entries:
        if item.not_before and created < item.not_before:
            message = f"was created on {created}; {item.name}'s key signs from {item.not_before}"
            yield _finding("signer-not-yet", SIGNATURE_FILE, message)
        if item.not_after and created > item.not_after:
            message = f"was created on {created}; {item.name}'s key signed to {item.not_after}"
            yield _finding("signer-retired", SIGNATURE_FILE, message)


# -- Files -----------------------------------------------------------------------------------------


@contextmanager
def open_directory(root: Path) -> Iterator[int]:
    """A descriptor of the directory ``root``. Raises OSError."""
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _open_beneath(root: int, path: str) -> Iterator[int]:
    """Opens a regular file below the directory ``root``, following no link on the way."""
    *directories, name = path.split("/")
    here = os.dup(root)
    try:
        for directory in directories:
            below = os.open(directory, _DIR_FLAGS, dir_fd=here)
            os.close(here)
            here = below
        handle = os.open(name, _FILE_FLAGS, dir_fd=here)
    finally:
        os.close(here)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        yield handle
    finally:
        os.close(handle)


def read_beneath(root: Path, path: str, limit: int) -> bytes:
    """One file's bytes, following no link below ``root``; the bytes are not verified.

    Raises:
        OSError: it cannot be opened, is no regular file, or is over ``limit`` bytes.
    """
    with open_directory(root) as top, _open_beneath(top, path) as handle:
        size = os.fstat(handle).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"is over {limit} bytes")
        with open(handle, "rb", closefd=False) as stream:
            return stream.read(size)


def _ignore(piece: memoryview) -> None:
    pass


def hash_beneath(root: int, path: str, use: Callable[[memoryview], None] = _ignore) -> str:
    """SHA-256 (hexadecimal) of one file below the directory descriptor ``root``.

    Args:
        use: gets the bytes, too, in order and in pieces, each valid until it returns.

    Raises:
        OSError: it cannot be read, is no regular file, or is over 64 GiB.
    """
    whole, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(READ_SIZE))
    with _open_beneath(root, path) as handle:
        # The size is counted too: the file may grow while it is read.
        while count := os.readv(handle, [buffer]):
            size += count
            if max(size, os.fstat(handle).st_size) > MAX_FILE:
                raise OSError(errno.EFBIG, f"is over {MAX_FILE} bytes")
            whole.update(buffer[:count])
            use(buffer[:count])
    return whole.hexdigest()


def processors() -> int:
    """How many files are hashed at a time: as many as this process may use processors."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return len(allowed) or os.cpu_count() or 1


def _check_file(
    root: int, path: str, digest: str, use: Callable[[memoryview], None] = _ignore
) -> Finding | None:
    try:
        actual = hash_beneath(root, path, use)
    except OSError as error:
        return _unreadable(path, error)
    if actual != digest:
        message = f"has changed: SHA-256 is {actual}, signed was {digest}"
        return _finding("changed-file", path, message)
    return None


def walk(root: int, report: Callable[[str, str, str], None], prefix: str = "") -> Iterator[str]:
    """Lists the regular files below a directory descriptor.

    Calls ``report(code, path, message)`` for every entry that a bundle must not have: links,
    special files, odd permissions, empty directories.
    """
    names = sorted(os.listdir(root))
    if not names and prefix:
        report("empty-directory", prefix[:-1], "is an empty directory")
    for name in names:
        path = prefix + name
        try:
            info = os.stat(name, dir_fd=root, follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                _check_mode(path, info.st_mode, report)
                if path.count("/") >= MAX_DEPTH:
                    report("too-deep", path, f"is nested over {MAX_DEPTH} deep")
                    continue
                below = os.open(name, _DIR_FLAGS, dir_fd=root)
                try:
                    yield from walk(below, report, path + "/")
                finally:
                    os.close(below)
            elif stat.S_ISLNK(info.st_mode):
                report("symlink", path, "is a symbolic link")
            elif not stat.S_ISREG(info.st_mode):
                report("special-file", path, "is neither a file nor a directory")
            else:
                _check_mode(path, info.st_mode, report)
                if info.st_nlink > 1:
                    report("hard-link", path, "has another name somewhere (a hard link)")
                yield path
        except OSError as error:
            report("unreadable", path, f"cannot be read: {error.strerror}")


def _check_mode(path: str, mode: int, report: Callable[[str, str, str], None]) -> None:
    # A copy in a shared project folder gets setgid directories: harmless.
    odd = mode & ~(0o2775 if stat.S_ISDIR(mode) else 0o664)
    shown = f"has the mode {stat.S_IMODE(mode):04o}"
    if odd & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX):
        report("mode-special", path, f"{shown}: setuid, setgid or sticky")
    if odd & stat.S_IWOTH:
        report("mode-world-writable", path, f"{shown}: everyone may write it")
    if odd & 0o111:
        report("mode-executable", path, f"{shown}: it can be executed")


def _check_files(
    root: int, found: set[str], digests: Mapping[str, str], unread: frozenset[str]
) -> list[Finding]:
    """Compares the directory with the signed list: extra, missing and changed files."""

    def check(path: str) -> Finding | None:
        return _check_file(root, path, digests[path])

    with ThreadPoolExecutor(processors()) as pool:
        findings = [item for item in pool.map(check, sorted(found & set(digests) - unread)) if item]
    for path in sorted(set(digests) - found):
        findings.append(_finding("missing-file", path, "is missing"))
    parents = {path[:i] for path in digests for i, c in enumerate(path) if c == "/"} | {SIGNATURES}
    outside: dict[str, int] = {}
    for path in sorted(found - set(digests) - {SIGNATURE_FILE}):
        # Name a directory that holds nothing signed once, not each of its files.
        cuts = (path[:i] for i, c in enumerate(path) if c == "/" and path[:i] not in parents)
        top = next(cuts, None)
        if top is None:
            findings.append(_finding("extra-file", path, "is not part of the signed bundle"))
        else:
            outside[top] = outside.get(top, 0) + 1
    for path, count in outside.items():
        message = f"is not part of the signed bundle ({count} file{'s' if count > 1 else ''})"
        findings.append(_finding("extra-directory", path, message))
    return findings


def _read_metadata(root: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    """The metadata. Raises FormatError where the vendor signed something else than a bundle."""
    try:
        data = read_beneath(root, METADATA_FILE, MAX_JSON)
    except OSError as error:
        raise FormatError("not-a-bundle", f"cannot be read: {error.strerror}") from None
    signed = digests.get(METADATA_FILE)
    if signed and hashlib.sha256(data).hexdigest() != signed:
        raise FormatError("changed-file", "changed while it was verified")
    metadata = strict_json(data) if signed else None
    if type(metadata) is not dict or metadata.get("format") != BUNDLE_FORMAT:
        message = f"does not say that this is a bundle of format {BUNDLE_FORMAT}"
        raise FormatError("not-a-bundle", message)
    return metadata


def directory_fault(bundle: Path) -> tuple[str, str, str] | None:
    """Code, message and remedy where there is no bundle directory; None where there is one."""
    if bundle.is_dir():
        return None
    remedy = f"give the directory that holds {SIGNATURE_FILE}"
    if not os.path.lexists(bundle):
        return "bundle-missing", "there is no such bundle directory", remedy
    remedy += "; unpack an archive first, into a new directory, with a tool you trust"
    return "bundle-not-directory", "is not a directory, and nothing here unpacks an archive", remedy


def _none(path: str) -> bool:
    return False


def verify_bundle(
    root: str | os.PathLike[str],
    trust: Sequence[bytes],
    later: Callable[[str], bool] = _none,
) -> Verified:
    """Verifies a bundle against what the host trusts.

    Args:
        root: the bundle's directory.
        trust: public keys in PEM and trust policies. The signature must be by a key of any of
            them; whatever else any of them asks must be met, too (:func:`load_policy`).
        later: which paths' bytes to leave unread: for a caller who reads them once, by
            :meth:`Verified.stream`, to decrypt what is hashed. They must be there all the same.

    Raises:
        RefusedError: with every finding.
        FormatError: an item of ``trust`` cannot be read.
    """
    root = Path(root)
    policy = load_policy(trust)
    findings: list[Finding] = []

    def report(code: str, path: str | None, message: str) -> None:
        add(_finding(code, path, message))

    def add(*items: Finding) -> None:
        findings.extend(items)
        if len(findings) >= MAX_FINDINGS:
            raise RefusedError(findings[:MAX_FINDINGS])

    if not policy.signers:
        report("trust-missing", None, "no trusted key was given")
    signed = _Signed()
    unread: frozenset[str] = frozenset()
    try:
        with open_directory(root) as top:
            found, further = set(), []
            for path in walk(top, report):
                if _FURTHER.fullmatch(path):
                    further.append(path)
                else:
                    found.add(path)
                if len(found) > MAX_FILES + 1:
                    report("too-many-files", None, f"has over {MAX_FILES} files")
                    raise RefusedError(findings)
                if len(further) > MAX_SIGNATURES:
                    report("too-many-signatures", SIGNATURES, f"has over {MAX_SIGNATURES} files")
                    raise RefusedError(findings)
            try:
                data = read_beneath(root, SIGNATURE_FILE, MAX_JSON)
            except FileNotFoundError:
                report("signature-missing", SIGNATURE_FILE, "is missing")
            except OSError as error:
                add(_unreadable(SIGNATURE_FILE, error))
            else:
                signed, faults = _check_signature(data, policy)
                add(*faults)
                # Each holds the same statement: none is larger than model.sig and ML-DSA's bytes.
                limit = len(data) + 2 * MLDSA_SIGNATURE
                add(*_check_further(root, further, limit, signed, policy))
            if signed.digests is not None:
                # What is reported as a link or a special file is not missing, too.
                known = {item.path for item in findings}
                unread = frozenset(filter(later, signed.digests))
                for item in _check_files(top, found, signed.digests, unread):
                    if item.code != "missing-file" or item.path not in known:
                        add(item)
                try:
                    metadata = _read_metadata(root, signed.digests)
                    if policy.closed:
                        add(*_check_terms(metadata, signed.entries, policy))
                except FormatError as fault:
                    if METADATA_FILE not in {item.path for item in findings}:
                        report(fault.code, METADATA_FILE, str(fault))
    except OSError as error:
        report("unreadable", None, f"cannot be read: {error.strerror}")
    if findings or not signed.entries or signed.digests is None:
        raise RefusedError(findings)
    signer = signed.entries[0].key
    return Verified(root, signer, signed.digests, signed.payload, signed.signatures, unread)


def signed_by(signatures: Sequence[Signature]) -> Iterator[str]:
    """A line for each signature: who, how, with which key."""
    for item in signatures:
        if item.role == "unknown":
            yield f"not checked: a signature by {item.fingerprint}, which is not pinned"
            continue
        by = "countersigned by" if item.role == "countersigner" else "signed by"
        name = f"{show(item.name)}, " if item.name else ""
        yield f"{by} {name}{item.algorithm} {item.fingerprint}"


# -- Command line ----------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the stand-alone verifier; returns its exit code."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Verify an asrpack bundle.")
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument(
        "--trust",
        action="append",
        required=True,
        type=Path,
        metavar="FILE",
        help="the vendor's public key, or a trust policy; given more than once: any of the signers",
    )
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    args = parser.parse_args(argv)
    trust = []
    for path in args.trust:
        try:
            with path.open("rb") as stream:
                trust.append(stream.read(MAX_TRUST + 1))
            read_policy(trust[-1])
        except OSError as error:
            return _cannot(7, path, "trust-unreadable", str(error.strerror))
        except FormatError as error:
            return _cannot(7, path, error.code, str(error))
    if fault := directory_fault(args.bundle):
        return _cannot(3, args.bundle, *fault)
    verified: Verified | None = None
    findings: Sequence[Finding] = ()
    try:
        verified = verify_bundle(args.bundle, trust)
    except RefusedError as refused:
        findings = refused.findings
    if args.json:
        report = {"ok": verified is not None, "findings": [asdict(item) for item in findings]}
        if verified:
            report["signatures"] = [asdict(item) for item in verified.signatures]
            report["trust"] = [str(path) for path in args.trust]
        print(json.dumps(report))
    else:
        for item in findings:
            print(f"{show(item.path or 'bundle')}: {show(item.message)} [{item.code}]")
            print(f"  remedy: {item.remedy}")
        lines = signed_by(verified.signatures) if verified else ()
        print("\n  ".join(["verified", *lines] if verified else ["REFUSED"]))
    return 0 if verified else 6


def _cannot(exit_code: int, path: Path, code: str, message: str, remedy: str = "") -> int:
    print(f"verify.py: {show(str(path))}: {show(message)} [{code}]", file=sys.stderr)
    if remedy:
        print(f"  remedy: {remedy}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
