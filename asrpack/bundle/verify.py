#!/usr/bin/env python3
"""Verifies an asrpack bundle: ``python3 -I verify.py [BUNDLE] --trust PUBLIC_KEY [--json]``.

One file on purpose: Python's standard library and ``cryptography``, nothing else. It is part of
asrpack and of every bundle. A copy that came with a bundle proves nothing about itself: where
that matters, use the copy of a bundle you trust, or ``asrpack verify``.

A bundle is verified when ``model.sig`` carries one valid ECDSA signature, by a trusted key, over
an OpenSSF Model Signing v1.0 statement (a Sigstore bundle v0.3 holding a DSSE envelope holding
an in-toto Statement v1), and the directory holds exactly the files that the statement lists:
same bytes, no link, no special file, no odd permission. docs/format.md has every field.

Exit codes: 0 verified; 2 usage; 3 no such bundle; 6 refused; 7 the trusted key cannot be read.
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
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

SIGNATURE_FILE = "model.sig"
METADATA_FILE = "asrpack.json"
BUNDLE_FORMAT = "asrpack-bundle/1"
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
CURVES = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384()}

MAX_JSON = 4 << 20  # bytes of model.sig: about 20,000 files
MAX_FILE = 64 << 30  # bytes; a sparse terabyte would keep the hash busy for ten minutes
MAX_FILES = 20_000
MAX_FINDINGS = 1000
MAX_DEPTH = 32  # of directories and of JSON
MAX_NAME = 1024  # bytes of a path in UTF-8
MAX_INTEGER = 2**53 - 1  # larger ones are not exact in every JSON reader
READ_SIZE = 1 << 20

_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIR_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_WINDOWS_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|(COM|LPT)[1-9]) *(\..*)?", re.IGNORECASE)
_GET_AGAIN = "do not use this copy; get the bundle again from its vendor"
_REMEDIES = {
    "extra-file": "remove it, or get the bundle again from its vendor",
    "extra-directory": "remove it, or get the bundle again from its vendor",
    "empty-directory": "remove it, or get the bundle again from its vendor",
    "mode-executable": "chmod a-x it; nothing in a bundle is run by its execute bit",
    "mode-special": "chmod ug-s,o-t it",
    "mode-world-writable": "chmod o-w it",
    "trust-missing": "pass the vendor's public key with --trust",
    "signer-untrusted": f"check that the trusted key is this vendor's; if it is, {_GET_AGAIN}",
    "unreadable": "check the file's permissions and the disk",
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
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TrustedKey:
    """A public key: SubjectPublicKeyInfo in DER, and the SHA-256 of its PEM that OMS calls hint."""

    key: ec.EllipticCurvePublicKey
    der: bytes
    hint: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER, hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()


@dataclass(frozen=True)
class Verified:
    """A bundle that passed. Exists only for such a bundle.

    Attributes:
        root: the bundle's directory.
        signer: the trusted key that made the signature.
        digests: SHA-256 (hexadecimal) of each file by its path.
    """

    root: Path
    signer: TrustedKey
    digests: Mapping[str, str]

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
        FormatError: over ``limit`` bytes; a byte order mark; not UTF-8; not JSON or something after
            it; a key given twice; NaN, a fraction or an integer over 2**53 - 1; nesting over
            32; an unpaired surrogate.
    """
    if len(data) > limit:
        raise FormatError("json-size", f"is over {limit} bytes")
    if data.startswith(b"\xef\xbb\xbf"):
        raise FormatError("json-bom", "starts with a byte order mark")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FormatError("json-encoding", "is not UTF-8") from None
    depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
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
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FormatError("json-duplicate-key", f"has the key {twice!r} twice")
    return value


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise FormatError("json-number", f"has an integer over 2**53 - 1: {text[:20]}")
    return int(text)


def _no_number(text: str) -> None:
    raise FormatError("json-number", f"has {text[:20]} where only integers are allowed")


def check_shape(value: Any, shape: Any, what: str, code: str) -> None:
    """Checks types and exact field names: a shape is a type, {field: shape} or [shape of each].

    Raises:
        FormatError: with ``code`` and the first place that differs.
    """
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
    """Reads a P-256 or P-384 public key in PEM.

    Raises:
        FormatError: anything else.
    """
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        private = " (a private key: never hand it out)" if b"PRIVATE KEY" in data else ""
        raise FormatError("key-format", f"not a public key in PEM{private}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise FormatError("key-format", "not an ECDSA key on the curve P-256 or P-384")
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_bytes(serialization.Encoding.PEM, info)
    der = key.public_bytes(serialization.Encoding.DER, info)
    return TrustedKey(key, der, hashlib.sha256(pem).hexdigest())


def pae(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding, the bytes that are signed (DSSE protocol v1)."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)


def read_signature(data: bytes) -> tuple[bytes, bytes, str]:
    """Takes ``model.sig`` apart into payload, signature and the signer's hint.

    Raises:
        FormatError: it is not the one form that asrpack writes.
    """
    outer = strict_json(data)
    check_shape(outer, _SIGNATURE_SHAPE, SIGNATURE_FILE, "signature-format")
    envelope, material = outer["dsseEnvelope"], outer["verificationMaterial"]
    if outer["mediaType"] != MEDIA_TYPE:
        raise FormatError("signature-media-type", f"has the media type {outer['mediaType']!r}")
    if material["tlogEntries"]:
        raise FormatError("signature-format", "has log entries, which nothing here checks")
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise FormatError("signature-payload-type", f"signs a {envelope['payloadType']!r}")
    if (count := len(envelope["signatures"])) != 1:
        raise FormatError("signature-count", f"has {count} signatures, not one")
    payload = canonical_base64(envelope["payload"], "the payload", "signature-encoding")
    raw = canonical_base64(envelope["signatures"][0]["sig"], "the signature", "signature-encoding")
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
        if item["algorithm"] != "sha256" or not re.fullmatch("[0-9a-f]{64}", digest):
            raise FormatError("manifest-digest", f"gives no SHA-256 in lower case for {name}")
        if name in digests:
            raise FormatError("manifest-duplicate", f"lists {name} twice")
        digests[name] = digest
    if list(digests) != sorted(digests):
        raise FormatError("manifest-order", "does not list the files in order")
    if SIGNATURE_FILE in digests or len(digests) > MAX_FILES:
        raise FormatError("manifest-name", f"lists {SIGNATURE_FILE}, or over {MAX_FILES} files")
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


def _check_signature(
    data: bytes, trust: Sequence[TrustedKey]
) -> tuple[TrustedKey | None, dict[str, str] | None, list[Finding]]:
    try:
        payload, signature, hint = read_signature(data)
    except FormatError as fault:
        return None, None, [_finding(fault.code, SIGNATURE_FILE, str(fault))]
    findings = []
    signer = next((key for key in trust if key.hint == hint), None)
    if signer is None and trust:
        message = f"was signed by another key (hint {hint[:64]}), none of the trusted ones"
        findings.append(_finding("signer-untrusted", SIGNATURE_FILE, message))
    elif signer is not None:
        try:
            signer.key.verify(signature, pae(payload), ec.ECDSA(CURVES[signer.key.curve.name]))
        except InvalidSignature:
            message = "the signature is not valid for what it signs"
            findings.append(_finding("signature-invalid", SIGNATURE_FILE, message))
    try:
        return signer, read_statement(payload), findings
    except FormatError as fault:
        return signer, None, [*findings, _finding(fault.code, SIGNATURE_FILE, str(fault))]


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


def hash_beneath(root: int, path: str) -> str:
    """SHA-256 (hexadecimal) of one file below the directory descriptor ``root``.

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
    return whole.hexdigest()


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


def _check_files(root: int, found: set[str], digests: Mapping[str, str]) -> list[Finding]:
    """Compares the directory with the signed list: extra, missing and changed files."""

    def check(path: str) -> Finding | None:
        try:
            actual = hash_beneath(root, path)
        except OSError as error:
            return _unreadable(path, error)
        if actual != digests[path]:
            message = f"has changed: SHA-256 is {actual}, signed was {digests[path]}"
            return _finding("changed-file", path, message)
        return None

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        findings = [item for item in pool.map(check, sorted(found & set(digests))) if item]
    for path in sorted(set(digests) - found):
        findings.append(_finding("missing-file", path, "is missing"))
    parents = {path[:i] for path in digests for i, c in enumerate(path) if c == "/"}
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


def _check_metadata(root: Path, digests: Mapping[str, str]) -> str | None:
    """A valid signature over something else of the same vendor must not pass for a bundle."""
    try:
        data = read_beneath(root, METADATA_FILE, MAX_JSON)
        if hashlib.sha256(data).hexdigest() == digests.get(METADATA_FILE):
            metadata = strict_json(data)
            if type(metadata) is dict and metadata.get("format") == BUNDLE_FORMAT:
                return None
    except OSError:
        pass
    except FormatError as fault:
        return str(fault)
    return f"does not say that this is a bundle of format {BUNDLE_FORMAT}"


def verify_bundle(root: str | os.PathLike[str], trust: Sequence[bytes]) -> Verified:
    """Verifies a bundle against public keys.

    Args:
        root: the bundle's directory.
        trust: public keys in PEM; the signature must be by one of them.

    Raises:
        RefusedError: with every finding.
        FormatError: a key of ``trust`` cannot be read.
    """
    root = Path(root)
    keys = [load_trusted_key(data) for data in trust]
    findings: list[Finding] = []

    def report(code: str, path: str | None, message: str) -> None:
        findings.append(_finding(code, path, message))
        if len(findings) >= MAX_FINDINGS:
            raise RefusedError(findings)

    if not keys:
        report("trust-missing", None, "no trusted key was given")
    signer, digests = None, None
    try:
        with open_directory(root) as top:
            found = set()
            for path in walk(top, report):
                found.add(path)
                if len(found) > MAX_FILES + 1:
                    report("too-many-files", None, f"has over {MAX_FILES} files")
                    raise RefusedError(findings)
            try:
                data = read_beneath(root, SIGNATURE_FILE, MAX_JSON)
            except FileNotFoundError:
                report("signature-missing", SIGNATURE_FILE, "is missing")
            except OSError as error:
                findings.append(_unreadable(SIGNATURE_FILE, error))
            else:
                signer, digests, faults = _check_signature(data, keys)
                findings += faults
            if digests is not None:
                # What is reported as a link or a special file is not missing, too.
                known = {item.path for item in findings}
                for item in _check_files(top, found, digests):
                    if item.code != "missing-file" or item.path not in known:
                        report(item.code, item.path, item.message)
                fault = _check_metadata(root, digests)
                if fault and METADATA_FILE not in {item.path for item in findings}:
                    report("not-a-bundle", METADATA_FILE, fault)
    except OSError as error:
        report("unreadable", None, f"cannot be read: {error.strerror}")
    if findings or signer is None or digests is None:
        raise RefusedError(findings)
    return Verified(root, signer, digests)


# -- Command line ----------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the stand-alone verifier; returns its exit code."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Verify an asrpack bundle.")
    parser.add_argument("bundle", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--trust", action="append", required=True, type=Path, metavar="PUBLIC_KEY")
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    args = parser.parse_args(argv)
    trust = []
    for path in args.trust:
        try:
            trust.append(path.read_bytes())
            load_trusted_key(trust[-1])
        except (OSError, FormatError) as error:
            cause = error.strerror if isinstance(error, OSError) else error
            print(f"verify.py: {show(str(path))}: {cause}", file=sys.stderr)
            return 7
    if not args.bundle.is_dir():
        print(f"verify.py: {show(str(args.bundle))}: is not a directory", file=sys.stderr)
        return 3
    verified: Verified | None = None
    findings: Sequence[Finding] = ()
    try:
        verified = verify_bundle(args.bundle, trust)
    except RefusedError as refused:
        findings = refused.findings
    if args.json:
        shown = [asdict(item) for item in findings]
        print(json.dumps({"ok": verified is not None, "findings": shown}))
    else:
        for item in findings:
            print(f"{show(item.path or 'bundle')}: {show(item.message)} [{item.code}]")
            print(f"  remedy: {item.remedy}")
        print(f"verified: signed by {verified.signer.fingerprint}" if verified else "REFUSED")
    return 0 if verified else 6


if __name__ == "__main__":
    sys.exit(main())
