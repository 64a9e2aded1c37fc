"""Writing an envelope: encrypts files under fresh keys and wraps those for each recipient."""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from cryptography.cobblestone import Cobblestone256Encryptor

from asrpack.bundle import passphrase
from asrpack.bundle.envelope import (
    MAX_RECIPIENTS,
    EncryptedFile,
    Envelope,
    Header,
    Recipient,
    suite,
)
from asrpack.bundle.keys import Key
from asrpack.errors import KeyFileError

_READ_SIZE = 1 << 20


def encrypt_files(
    files: Mapping[str, bytes | Path],
    recipients: Sequence[Key],
    signer: bytes,
    out: Path,
    *,
    bundle_id: str | None = None,
) -> Envelope:
    """Writes ``<path>.enc`` for each file, and ``envelope.json``, into the directory ``out``.

    Memory stays at a few MiB for files given by path.

    Args:
        files: contents, or a file that holds them, by the name inside the envelope.
        recipients: public keys that can open it and passphrases, 1 to 64, each once.
        signer: DER SubjectPublicKeyInfo of the key that will sign the bundle.
        out: an existing directory.
        bundle_id: UUID (version 4); a fresh one if None.

    Raises:
        KeyFileError: no recipient, too many, one twice, or a passphrase that is too short.
    """
    check_recipients(recipients)
    paths = sorted(files)
    keys = {path: Cobblestone256Encryptor.generate_key() for path in paths}
    identifier = bundle_id or str(uuid.uuid4())
    contexts = Header(identifier, signer, ())
    entries = []
    for path in paths:
        source = files[path]
        with (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as plain,
            (out / f"{path}.enc").open("wb") as sealed,
        ):
            size = _encrypt(plain, sealed, keys[path], contexts.context(path))
        entries.append(EncryptedFile(path, size))
    header = Header(identifier, signer, tuple(entries))
    secret = b"".join(keys[path] for path in paths)
    data = Envelope(header, wrap_for(recipients, secret, header)).to_json()
    (out / "envelope.json").write_bytes(data)
    # What cannot be read back must not be shipped: names, sizes, algorithms.
    return Envelope.from_json(data)


def _encrypt(plain: BinaryIO, sealed: BinaryIO, key: bytes, context: bytes) -> int:
    encryptor = Cobblestone256Encryptor(key, context)
    size = 0
    while chunk := plain.read(_READ_SIZE):
        size += len(chunk)
        sealed.write(encryptor.update(chunk))
    sealed.write(encryptor.finalize())
    return size


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
