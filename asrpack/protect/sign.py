"""Signing a directory as OpenSSF Model Signing v1.0 does: writes ``model.sig``."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asrpack.bundle.keys import Key
from asrpack.bundle.verify import (
    CURVES,
    MEDIA_TYPE,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    SERIALIZATION,
    SIGNATURE_FILE,
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
from asrpack.errors import IntegrityError


def sign_tree(root: Path, key: Key, name: str) -> Path:
    """Signs every file below ``root`` and writes ``model.sig`` there.

    Args:
        root: the directory; a ``model.sig`` in it is replaced.
        key: a private signing key (:func:`asrpack.bundle.keys.signing_private`).
        name: what the statement calls its subject.

    Raises:
        IntegrityError: a link, a special file, an odd permission or a name that the verifier
            would refuse.
    """
    target = root / SIGNATURE_FILE
    target.unlink(missing_ok=True)
    payload = canonical_json(statement(name, _digests(root)))
    target.write_bytes(canonical_json(envelope(payload, key.handle)))
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


def envelope(payload: bytes, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """The Sigstore bundle with one DSSE signature over ``payload``."""
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
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
