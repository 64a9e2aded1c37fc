"""Writing an envelope: encrypts files under fresh keys and wraps those for each recipient."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.cobblestone import Cobblestone256Encryptor

from asrpack.bundle import passphrase
from asrpack.bundle.envelope import (
    MAX_RECIPIENTS,
    Envelope,
    Header,
    Recipient,
    suite,
)
from asrpack.bundle.keys import Key
from asrpack.bundle.payload import MAX_PARTS, PART_SIZE, EncryptedFile, Part
from asrpack.bundle.verify import processors
from asrpack.errors import InputError, KeyFileError

_READ_SIZE = 1 << 20


def encrypt_files(
    files: Mapping[str, bytes | Path],
    recipients: Sequence[Key],
    signer: bytes,
    out: Path,
    *,
    bundle_id: str | None = None,
    part_size: int = PART_SIZE,
) -> Envelope:
    """Writes ``<path>.enc`` for each file, and ``envelope.json``, into the directory ``out``.

    A larger file than ``part_size`` becomes ``<path>.enc.0000`` and so on. Memory stays at a few
    MiB a processor for files given by path.

    Args:
        files: contents, or a file that holds them, by the name inside the envelope.
        recipients: public keys that can open it and passphrases, 1 to 64, each once.
        signer: DER SubjectPublicKeyInfo of the key that will sign the bundle.
        out: an existing directory.
        bundle_id: UUID (version 4); a fresh one if None.
        part_size: bytes of plaintext in a part, 16,384 or more; more where 1024 of them are too
            few.

    Raises:
        KeyFileError: no recipient, too many, one twice, or a passphrase that is too short.
    """
    check_recipients(recipients)
    paths = sorted(files)
    keys = {path: Cobblestone256Encryptor.generate_key() for path in paths}
    entries = tuple(_entry(path, files[path], part_size) for path in paths)
    header = Header(bundle_id or str(uuid.uuid4()), signer, entries)

    def seal(job: tuple[str, Part]) -> None:
        path, part = job
        target = out / Path(part.name).name
        _encrypt(files[path], part, keys[path], target)

    jobs = [(item.path, part) for item in entries for part in item.parts(header.bundle_id)]
    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(seal, jobs))
    secret = b"".join(keys[path] for path in paths)
    data = Envelope(header, wrap_for(recipients, secret, header)).to_json()
    (out / "envelope.json").write_bytes(data)
    # What cannot be read back must not be shipped: names, sizes, algorithms.
    return Envelope.from_json(data)


def _entry(path: str, source: bytes | Path, part_size: int) -> EncryptedFile:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    part_size = max(part_size, -(-size // MAX_PARTS))
    return EncryptedFile(path, size, part_size if size > part_size else None)


def _encrypt(source: bytes | Path, part: Part, key: bytes, target: Path) -> None:
    encryptor = Cobblestone256Encryptor(key, part.context)
    with (
        io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as plain,
        target.open("wb") as sealed,
    ):
        plain.seek(part.start)
        left = part.size
        while chunk := plain.read(min(left, _READ_SIZE)):
            left -= len(chunk)
            sealed.write(encryptor.update(chunk))
        sealed.write(encryptor.finalize())
    if left:
        raise InputError(
            "became shorter while it was encrypted",
            code="file-changed",
            place=str(source) if isinstance(source, Path) else part.name,
            remedy="let nobody write it meanwhile, and start again",
        )


def wrap_for(recipients: Sequence[Key], secret: bytes, header: Header) -> tuple[Recipient, ...]:
    """The entries of an envelope for recipients, sorted by key id.

    Args:
        recipients: public keys, and passphrases.
        secret: the files' data keys, one after the other in the order of ``header.files``.
    """
    return tuple(
        sorted((_wrap(key, secret, header.info) for key in recipients), key=lambda item: item.kid)
    )


def _wrap(key: Key, secret: bytes, info: bytes) -> Recipient:
    if key.algorithm == passphrase.ALGORITHM:
        salt, cost = passphrase.new_salt(), passphrase.DEFAULT_COST
        wrapped = passphrase.wrap(secret, key.handle, salt, cost, info)
        return Recipient(salt.hex(), passphrase.ALGORITHM, wrapped, cost)
    wrapped = suite(key.algorithm).encrypt(secret, key.handle, info)
    return Recipient(key.fingerprint, key.algorithm, wrapped)


def check_recipients(recipients: Sequence[Key]) -> None:
    """Refuses what :func:`encrypt_files` would.

    Raises:
        KeyFileError: no recipient, too many, one twice, or a passphrase that is too short.
    """
    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        raise KeyFileError(
            f"a bundle is for 1 to {MAX_RECIPIENTS} recipients, not {len(recipients)}",
            code="recipients-count",
            place="recipients",
            remedy="give the customers' public keys; more than that need bundles of their own",
        )
    phrases = [key.handle for key in recipients if key.algorithm == passphrase.ALGORITHM]
    if len(phrases) > passphrase.MAX_STANZAS:
        raise KeyFileError(
            f"a bundle takes at most {passphrase.MAX_STANZAS} passphrases, not {len(phrases)}",
            code="recipients-count",
            place="recipients",
            remedy="give the others keys",
        )
    for phrase in phrases:
        passphrase.check_strength(phrase)
    names = [key.fingerprint for key in recipients if key.algorithm != passphrase.ALGORITHM]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice or len(set(phrases)) < len(phrases):
        raise KeyFileError(
            f"the recipient {twice} is given twice" if twice else "a passphrase is given twice",
            code="recipients-duplicate",
            place="recipients",
            remedy="list each recipient once",
        )
