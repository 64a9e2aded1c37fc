"""What a bundle says of itself, gathered for showing. Verifies nothing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from asrpack.bundle.envelope import ENVELOPE_FILE, MAX_ENVELOPE, Envelope
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.verify import (
    MAX_FILES,
    MAX_JSON,
    METADATA_FILE,
    open_directory,
    read_beneath,
    walk,
)
from asrpack.errors import InputError

EVALUATION_FILE = "evaluation.json"
MAX_EVALUATION = 256 << 20
_FIGURES = ("set", "decode", "methods", "size", "timing", "provider")


def read_contents(bundle: Path) -> dict[str, Any]:
    """Metadata, files, recipients, signer and measured figures of a bundle.

    Returns:
        ``verified`` (always False: nothing was), ``metadata`` (``asrpack.json``), ``files``
        (path and size in bytes, of what is there), ``bytes``, ``encrypted`` (path and size of
        the plaintexts), ``recipients`` (kid, kem), ``signer`` (fingerprint) and ``evaluation``
        (of ``evaluation.json``, without its utterances; None where there is none).

    Raises:
        InputError: not a bundle's directory, or a file that cannot be read.
        IntegrityError: its metadata or envelope is damaged.
    """
    envelope = read_envelope(bundle)
    metadata = BundleMetadata.from_json(_read(bundle, METADATA_FILE, MAX_JSON))
    files = _list(bundle)
    return {
        "verified": False,
        "metadata": metadata.as_dict(),
        "files": files,
        "bytes": sum(item["size"] for item in files),
        "encrypted": [{"path": item.path, "size": item.size} for item in envelope.header.files],
        "recipients": [{"kid": item.kid, "kem": item.kem} for item in envelope.recipients],
        "signer": hashlib.sha256(envelope.header.signer).hexdigest(),
        "evaluation": _evaluation(bundle),
    }


def read_envelope(bundle: Path) -> Envelope:
    """The envelope of a bundle.

    Raises:
        InputError: not a bundle's directory.
        IntegrityError: the envelope is damaged.
    """
    if not bundle.is_dir():
        raise InputError(
            "there is no such bundle directory",
            code="bundle-missing",
            place=str(bundle),
            remedy=f"give the directory that holds {METADATA_FILE}",
        )
    return Envelope.from_json(_read(bundle, ENVELOPE_FILE, MAX_ENVELOPE))


def _list(bundle: Path) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = []
    with open_directory(bundle) as top:
        for path in walk(top, lambda code, path, message: None):
            files.append({"path": path, "size": (bundle / path).lstat().st_size})
            if len(files) > MAX_FILES:
                raise InputError(
                    f"holds over {MAX_FILES} files",
                    code="too-many-files",
                    place=str(bundle),
                    remedy="give a bundle's directory, not one above it",
                )
    return files


def _evaluation(bundle: Path) -> dict[str, Any] | None:
    try:
        figures = json.loads(
            read_beneath(bundle, EVALUATION_FILE, MAX_EVALUATION), parse_constant=_no_number
        )
        return {name: figures[name] for name in _FIGURES if name in figures}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"the measured figures cannot be read: {type(error).__name__}",
            code="evaluation",
            place=str(bundle / EVALUATION_FILE),
            remedy="see what `asrpack verify` says of this bundle",
        ) from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _read(bundle: Path, name: str, limit: int) -> bytes:
    try:
        return read_beneath(bundle, name, limit)
    except OSError as error:
        raise InputError(
            f"this is not a bundle: {name}: {error.strerror}",
            code="not-a-bundle",
            place=str(bundle),
            remedy="give the directory that holds asrpack.json and model.sig",
        ) from None
