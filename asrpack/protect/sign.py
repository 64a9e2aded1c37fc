"""Signing a directory as OpenSSF Model Signing v1.0 does, and signing a signed one once more.

:func:`sign_tree` writes ``model.sig``; :func:`countersign` a file under ``signatures/`` over the
very same statement, so that nothing that is there changes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa

from asrpack.bundle.keys import Key
from asrpack.bundle.opening import check_bundle
from asrpack.bundle.staged import staged
from asrpack.bundle.verify import (
    CURVES,
    MEDIA_TYPE,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    SERIALIZATION,
    SIGNATURE_FILE,
    SIGNATURES,
    STATEMENT_TYPE,
    FormatError,
    canonical_json,
    check_names,
    hash_beneath,
    open_directory,
    pae,
    root_digest,
    walk,
)
from asrpack.errors import InputError, IntegrityError
from asrpack.protect.trust import without_key

SigningKey = ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey


def sign_tree(root: Path, key: Key, name: str, also: Sequence[Key] = ()) -> Path:
    """Signs every file below ``root`` and writes ``model.sig`` there.

    Args:
        root: the directory; a ``model.sig`` in it is replaced, and ``signatures/``, which would
            be over another statement, removed.
        key: a private signing key (:func:`asrpack.bundle.keys.signing_private`).
        name: what the statement calls its subject.
        also: further private keys that sign the same statement.

    Raises:
        IntegrityError: a link, a special file, an odd permission or a name that the verifier
            would refuse.
    """
    target = root / SIGNATURE_FILE
    target.unlink(missing_ok=True)
    shutil.rmtree(root / SIGNATURES, ignore_errors=True)
    payload = canonical_json(statement(name, _digests(root)))
    target.write_bytes(canonical_json(envelope(payload, key.handle)))
    for other in also:
        _add_signature(root, payload, other)
    return target


def countersign(bundle: Path, key: Key, trust: Sequence[bytes]) -> Path:
    """Verifies a bundle and adds a signature of ``key`` to it.

    Args:
        bundle: the bundle's directory.
        key: a private key (:func:`asrpack.bundle.keys.any_signing_private`).
        trust: as for :func:`asrpack.bundle.opening.check_bundle`; that ``key`` itself has not
            signed yet is no fault.

    Returns:
        The file that was written.

    Raises:
        InputError: there is no such bundle, ``key`` has signed it, or it cannot be written.
        IntegrityError, ErrorGroup: the bundle is refused.
        KeyFileError: what is trusted cannot be read.
    """
    if os.path.lexists(target := signature_path(bundle, key)):
        raise InputError(
            f"the key {key.fingerprint} has signed this bundle",
            code="signature-exists",
            place=str(target),
            remedy="`asrpack verify` tells whether the signature is valid; if not, remove the file",
        )
    verified = check_bundle(bundle, without_key(trust, key.fingerprint))
    return _add_signature(bundle, verified.statement, key)


def signature_path(bundle: Path, key: Key) -> Path:
    """Where a further signature by ``key`` lies."""
    return bundle / SIGNATURES / f"{key.fingerprint}.sig"


def _add_signature(bundle: Path, payload: bytes, key: Key) -> Path:
    target = signature_path(bundle, key)
    data = canonical_json(envelope(payload, key.handle))
    try:
        target.parent.mkdir(exist_ok=True)
        target.parent.chmod(0o755)
        with staged(target, data, 0o644) as part:
            part.replace(target)
    except OSError as error:
        raise InputError(
            f"cannot write the signature: {error.strerror}",
            code="signature-unwritable",
            place=str(target),
            remedy="sign a copy of the bundle that you can write",
        ) from None
    return target


def statement(name: str, digests: dict[str, str]) -> dict[str, Any]:
    """The in-toto statement over files given by path and hexadecimal SHA-256."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root_digest(digests)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": SERIALIZATION,
            "resources": [
                {"name": path, "algorithm": "sha256", "digest": digests[path]}
                for path in sorted(digests)
            ],
        },
    }


def envelope(payload: bytes, key: SigningKey) -> dict[str, Any]:
    """The Sigstore bundle with one DSSE signature over ``payload``."""
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if isinstance(key, mldsa.MLDSA65PrivateKey):
        signature = key.sign(pae(payload))
    else:
        signature = key.sign(pae(payload), ec.ECDSA(CURVES[key.curve.name]))
    return {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(pem).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
        },
    }


def _digests(root: Path) -> dict[str, str]:
    def refuse(code: str, path: str, message: str) -> None:
        raise IntegrityError(
            f"cannot be part of a bundle: it {message}",
            code=code,
            place=str(root / path),
            remedy="remove it, or make it a plain file with mode 0644",
        )

    with open_directory(root) as top:
        paths = list(walk(top, refuse))
        try:
            check_names(paths)
        except FormatError as fault:
            raise IntegrityError(
                f"the bundle {fault}", code=fault.code, place=str(root), remedy="rename the file"
            ) from None
        return {path: hash_beneath(top, path) for path in paths}
