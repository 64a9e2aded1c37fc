"""Opening a bundle in the one safe order: verify, unwrap, decrypt the very bytes verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from asrpack.bundle import envelope as envelopes
from asrpack.bundle.keys import Key, armour, signing_public
from asrpack.bundle.licence import LockedBundle
from asrpack.bundle.licence_body import LicensedBundle
from asrpack.bundle.metadata import BundleMetadata, unix_seconds
from asrpack.bundle.payload import Decryption, Part, is_payload
from asrpack.bundle.plaintext import Plaintext
from asrpack.bundle.verify import (
    METADATA_FILE,
    Finding,
    FormatError,
    RefusedError,
    Verified,
    directory_fault,
    processors,
    show,
    verify_bundle,
)
from asrpack.errors import AsrpackError, ErrorGroup, InputError, IntegrityError, KeyFileError


@dataclass(frozen=True)
class Opened:
    """A verified bundle and its decrypted files, in memory only.

    Attributes:
        files: plaintext by path: ``encoder.onnx``, ``decoder.onnx``, ``model.json``.
        engine_key: 32 bytes that only the bundle's recipients can know, for what a host makes of
            the model and keeps (:mod:`asrpack.runtime.engine_cache`).
    """

    verified: Verified
    metadata: BundleMetadata
    files: dict[str, Plaintext] = field(repr=False)
    engine_key: bytes = field(repr=False)


def check_bundle(bundle: Path, trust: Sequence[bytes]) -> Verified:
    """:func:`asrpack.bundle.verify.verify_bundle` with asrpack's own errors.

    Raises:
        InputError: there is no such directory.
        IntegrityError, ErrorGroup: the bundle is refused, for one reason or several.
        KeyFileError: a trusted key or policy cannot be read.
    """
    return _check(bundle, trust, lambda path: False)


def _check(bundle: Path, trust: Sequence[bytes], later: Callable[[str], bool]) -> Verified:
    if fault := directory_fault(bundle):
        code, message, remedy = fault
        raise InputError(message, code=code, place=str(bundle), remedy=remedy)
    try:
        return verify_bundle(bundle, trust, later)
    except FormatError as error:
        raise KeyFileError(f"what is trusted cannot be used: {error}", code=error.code) from None
    except RefusedError as refused:
        raise _refusal(refused.findings, bundle) from None


def _refusal(findings: Sequence[Finding], bundle: Path) -> AsrpackError:
    errors: list[AsrpackError] = [
        IntegrityError(
            show(item.message),
            code=item.code,
            place=show(item.path) if item.path else str(bundle),
            remedy=item.remedy,
        )
        for item in findings
    ]
    return errors[0] if len(errors) == 1 else ErrorGroup(errors)


@dataclass(frozen=True)
class Sealed:
    """A verified bundle, not decrypted; its payloads may be left to be read.

    Attributes:
        envelope: the bytes of ``model/envelope.json``.
        header: what is in it.
        trust: what it was verified against.
    """

    verified: Verified
    metadata: BundleMetadata
    envelope: bytes
    header: envelopes.Header
    trust: tuple[bytes, ...]


def read_sealed(bundle: Path, trust: Sequence[bytes] = ()) -> Sealed:
    """Verifies a bundle, and that envelope, metadata and signature agree.

    Args:
        bundle: the bundle's directory.
        trust: the vendor's public keys in PEM, or trust policies. Without one the signature must
            be by the key that the envelope names: then whoever wrapped the keys for this recipient
            also signed these files, but who that is was not checked.

    Raises:
        InputError, IntegrityError, ErrorGroup, KeyFileError: as :func:`check_bundle`.
    """
    return _read_sealed(bundle, trust, lambda path: False)


def _read_sealed(bundle: Path, trust: Sequence[bytes], later: Callable[[str], bool]) -> Sealed:
    if not trust and bundle.is_dir():
        trust = [_named_signer(bundle)]
    verified = _check(bundle, trust, later)
    metadata = BundleMetadata.from_json(_read(verified, METADATA_FILE), METADATA_FILE)
    data = _read(verified, envelopes.ENVELOPE_FILE)
    header = envelopes.Envelope.from_json(data).header
    if header.signer != verified.signer.der:
        raise _wrong_signer("the envelope names another signer than the one who signed the bundle")
    if header.bundle_id != metadata.bundle_id:
        raise IntegrityError(
            f"the envelope is of bundle {header.bundle_id}, the metadata of {metadata.bundle_id}",
            code="envelope-bundle-id",
            place=envelopes.ENVELOPE_FILE,
            remedy="get the bundle again from its vendor",
        )
    return Sealed(verified, metadata, data, header, tuple(trust))


def _named_signer(bundle: Path) -> bytes:
    """The public key of whom the envelope names, in PEM; nothing is verified yet."""
    named = armour("PUBLIC KEY", envelopes.read_signer(bundle))
    try:
        signing_public(named, envelopes.ENVELOPE_FILE)
    except KeyFileError:
        raise _wrong_signer("the signer that the envelope names is no key") from None
    return named


def _wrong_signer(message: str) -> IntegrityError:
    return IntegrityError(
        message,
        code="envelope-signer",
        place=envelopes.ENVELOPE_FILE,
        remedy="get the bundle again from its vendor",
    )


def open_sealed(
    bundle: Path,
    identity: Key,
    trust: Sequence[bytes] = (),
    unlock: Callable[[LockedBundle], bytes] | None = None,
) -> Opened:
    """Verifies a bundle and decrypts its model to memory.

    Args:
        bundle: the bundle's directory.
        identity: a recipient's private key (:func:`asrpack.bundle.keys.recipient_private`).
        trust: as for :func:`read_sealed`.
        unlock: finds the data keys in a licence, where the envelope has none for this identity.

    Raises:
        InputError, IntegrityError, ErrorGroup, KeyFileError: as :func:`check_bundle`; also
            KeyFileError where the bundle is not for this identity, or ``unlock`` says so.
    """
    sealed = _read_sealed(bundle, trust, is_payload)
    keys = _data_keys(sealed, identity, unlock)
    files = _decrypt(sealed, keys)
    secret = b"".join(keys[item.path] for item in sealed.header.files)
    return Opened(
        sealed.verified, sealed.metadata, files, _engine_key(secret, sealed.header.bundle_id)
    )


def _decrypt(sealed: Sealed, keys: Mapping[str, bytes]) -> dict[str, Plaintext]:
    """Reads each payload once: what is hashed is what is decrypted."""
    verified, header = sealed.verified, sealed.header
    parts = {
        part.name: (item.path, part)
        for item in header.files
        for part in item.parts(header.bundle_id)
    }
    if unknown := sorted(verified.unread - set(parts)):
        raise IntegrityError(
            "the envelope names no such file, or fewer parts of it",
            code="envelope-files",
            place=unknown[0],
            remedy="get the bundle again from its vendor",
        )

    misfit = next((part for _, part in parts.values() if not _fits(verified, part)), None)
    if misfit:  # no memory for what a header only claims; what was not signed comes first
        _stream(verified, dict.fromkeys(parts, lambda piece: None))
        raise misfit.damage
    files = {item.path: Plaintext(item.size) for item in header.files}
    jobs = {name: Decryption(part, keys[path], files[path]) for name, (path, part) in parts.items()}
    _stream(verified, jobs)
    for job in jobs.values():
        job.finish()
    return files


def _fits(verified: Verified, part: Part) -> bool:
    try:
        return (verified.root / part.name).lstat().st_size == part.sealed_size
    except OSError:
        return False


def _stream(verified: Verified, uses: Mapping[str, Callable[[memoryview], None]]) -> None:
    """Reads files on all processors, and refuses those that are not what was signed."""

    def stream(name: str) -> tuple[Finding, ...]:
        try:
            verified.stream(name, uses[name])
        except RefusedError as refused:
            return refused.findings
        return ()

    with ThreadPoolExecutor(processors()) as pool:
        findings = [item for found in pool.map(stream, uses) for item in found]
    if findings:
        raise _refusal(findings, verified.root)


def lock_of(sealed: Sealed, identity: Key | None) -> LockedBundle | None:
    """What a licence must open; None where the envelope has the keys for this identity.

    Args:
        identity: None where it is not known.
    """
    recipients = envelopes.Envelope.from_json(sealed.envelope).recipients
    if identity is not None and (
        identity.algorithm not in envelopes.KEMS
        or identity.fingerprint in {item.kid for item in recipients}
    ):
        return None
    return LockedBundle(
        LicensedBundle.of(sealed.verified, sealed.metadata),
        created=unix_seconds(sealed.metadata.created),
        keys=len(sealed.header.files),
        trust=sealed.trust,
        identity=identity,
    )


def _data_keys(
    sealed: Sealed, identity: Key, unlock: Callable[[LockedBundle], bytes] | None
) -> dict[str, bytes]:
    lock = lock_of(sealed, identity)
    if lock is None or unlock is None:
        return envelopes.open_envelope(sealed.envelope, identity)
    size, secret = envelopes.DATA_KEY_SIZE, unlock(lock)
    return {
        item.path: secret[i * size : (i + 1) * size] for i, item in enumerate(sealed.header.files)
    }


def _engine_key(data_keys: bytes, bundle_id: str) -> bytes:
    info = f"asrpack engine cache v1|{bundle_id}".encode()
    return HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(data_keys)


def _read(verified: Verified, name: str) -> bytes:
    try:
        return verified.read(name)
    except RefusedError as refused:
        item = refused.findings[0]
        raise IntegrityError(
            item.message, code=item.code, place=item.path, remedy=item.remedy
        ) from None
