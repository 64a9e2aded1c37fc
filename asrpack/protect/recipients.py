"""Who can open a finished bundle: adding and removing recipients, and another signer.

Payloads stay as they are, and so do their keys: only ``model/envelope.json``, ``asrpack.json`` and
the signature are written anew. So a recipient who is removed loses nothing of what they had: who
kept a copy of the old bundle, or the data keys, opens the payloads of the new one. Only another
build has other keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asrpack.bundle import passphrase
from asrpack.bundle.envelope import (
    ENVELOPE_FILE,
    MAX_RECIPIENTS,
    Envelope,
    Header,
    Recipient,
    open_envelope,
)
from asrpack.bundle.keys import Key, public_pem
from asrpack.bundle.metadata import BundleMetadata
from asrpack.bundle.opening import check_bundle
from asrpack.bundle.verify import METADATA_FILE, SIGNATURES, Verified
from asrpack.errors import InputError, KeyFileError
from asrpack.protect.encrypt import check_recipients, wrap_for
from asrpack.protect.rewrite import rewrite

MIN_PREFIX = 8


@dataclass(frozen=True)
class Change:
    """What was done to a bundle, or would be.

    Attributes:
        sequence: of the new bundle; one more than it was.
        added, removed: key ids.
        recipients: all of the new bundle.
        signer: fingerprint of the key that signs it.
        dropped: further signatures, which were over the old bundle.
    """

    bundle_id: str
    sequence: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    recipients: tuple[Recipient, ...]
    signer: str
    dropped: tuple[str, ...]


def add(
    bundle: Path, recipients: Sequence[Key], *, identity: Key, signer: Key, dry_run: bool = False
) -> Change:
    """Lets more recipients open a bundle.

    Args:
        bundle: its directory.
        recipients: public keys, and passphrases.
        identity: a private key that opens it.
        signer: the private key that signed it.
        dry_run: change nothing.

    Raises:
        KeyFileError: a recipient is one already, there are too many, ``identity`` is none, or a
            passphrase is too short.
        AsrpackError: the bundle is not what ``signer`` signed, or cannot be changed.
    """
    check_recipients(recipients)
    old = _Old(bundle, [public_pem(signer)])
    present = {item.kid for item in old.envelope.recipients}
    for key in recipients:
        if key.fingerprint in present:
            raise _error(f"{key.fingerprint} is a recipient already", "recipients-duplicate")
    header = old.envelope.header
    fresh = wrap_for(recipients, _secret(old, identity), header)
    everyone = tuple(sorted((*old.envelope.recipients, *fresh), key=lambda item: item.kid))
    phrases = sum(item.cost is not None for item in everyone)
    if len(everyone) > MAX_RECIPIENTS or phrases > passphrase.MAX_STANZAS:
        raise _error(
            f"the bundle would have {len(everyone)} recipients, {phrases} of them passphrases; "
            f"at most {MAX_RECIPIENTS} and {passphrase.MAX_STANZAS} are allowed",
            "recipients-count",
        )
    return old.become(Envelope(header, everyone), signer, dry_run)


def remove(bundle: Path, kids: Sequence[str], *, signer: Key, dry_run: bool = False) -> Change:
    """Leaves recipients out of a bundle. The data keys stay the same: see above.

    Args:
        bundle: its directory.
        kids: key ids, or their first 8 digits or more.
        signer: the private key that signed it.
        dry_run: change nothing.

    Raises:
        KeyFileError: no recipient has such an id, several have, or none would be left.
        AsrpackError: the bundle is not what ``signer`` signed, or cannot be changed.
    """
    old = _Old(bundle, [public_pem(signer)])
    gone = {_match(kid, old.envelope.recipients) for kid in kids}
    left = tuple(item for item in old.envelope.recipients if item.kid not in gone)
    if not left:
        raise _error("nobody would be left who can open the bundle", "recipients-count")
    return old.become(Envelope(old.envelope.header, left), signer, dry_run)


def resign(
    bundle: Path,
    recipients: Sequence[Key],
    *,
    identity: Key,
    trust: Sequence[bytes],
    signer: Key,
    dry_run: bool = False,
) -> Change:
    """Signs a bundle with another key of its vendor, and wraps its data keys for that signer.

    What is wrapped is bound to the signer, so it is wrapped anew for everyone, which needs
    everyone's public key: an envelope holds their ids only.

    Args:
        bundle: its directory.
        recipients: the public keys of all recipients, and all passphrases.
        identity: a private key that opens it.
        trust: who signed it until now, as for :func:`asrpack.bundle.opening.check_bundle`.
        signer: the private key that signs from now on.
        dry_run: change nothing.

    Raises:
        KeyFileError: the signer is the same, recipients are not those of the bundle, or
            ``identity`` is none.
        AsrpackError: the bundle is refused, or cannot be changed.
    """
    check_recipients(recipients)
    old = _Old(bundle, trust)
    if old.verified.signer.fingerprint == signer.fingerprint:
        raise _error(f"the bundle is signed by {signer.fingerprint} already", "signer-same")
    _check_everyone(old.envelope, recipients)
    header = replace(old.envelope.header, signer=signer.public_bytes)
    everyone = wrap_for(recipients, _secret(old, identity), header)
    return old.become(Envelope(header, everyone), signer, dry_run)


class _Old:
    """A bundle as it is, verified."""

    def __init__(self, bundle: Path, trust: Sequence[bytes]) -> None:
        self.verified: Verified = check_bundle(bundle, trust)
        self.data = self.verified.read(ENVELOPE_FILE)
        self.envelope = Envelope.from_json(self.data)
        self.metadata = BundleMetadata.from_json(self.verified.read(METADATA_FILE))
        if self.envelope.header.bundle_id != self.metadata.bundle_id:
            raise InputError(
                "envelope and metadata are of two bundles",
                code="envelope-bundle-id",
                place=str(bundle),
                remedy="build it again",
            )

    def become(self, envelope: Envelope, signer: Key, dry_run: bool) -> Change:
        before = {item.kid for item in self.envelope.recipients}
        after = {item.kid for item in envelope.recipients}
        # One more, not the time: a bundle of an older model must stay older than newer ones.
        metadata = replace(
            self.metadata,
            recipients=tuple(item.kid for item in envelope.recipients),
            sequence=self.metadata.sequence + 1,
        )
        files = {ENVELOPE_FILE: envelope.to_json(), METADATA_FILE: metadata.to_json()}
        Envelope.from_json(files[ENVELOPE_FILE])  # what cannot be read back must not be signed
        further = self.verified.root / SIGNATURES
        dropped = sorted(path.name for path in further.iterdir()) if further.is_dir() else []
        if not dry_run:
            name = f"{metadata.name}-{metadata.version}-{metadata.build}"
            rewrite(self.verified, files, signer, name)
        return Change(
            metadata.bundle_id,
            metadata.sequence,
            tuple(sorted(after - before)),
            tuple(sorted(before - after)),
            envelope.recipients,
            signer.fingerprint,
            tuple(dropped),
        )


def _secret(old: _Old, identity: Key) -> bytes:
    keys = open_envelope(old.data, identity)
    return b"".join(keys[item.path] for item in old.envelope.header.files)


def _match(kid: str, recipients: Sequence[Recipient]) -> str:
    found = [item.kid for item in recipients if item.kid.startswith(kid.lower())]
    if len(kid) < MIN_PREFIX or len(found) != 1:
        cause = (
            f"is too short: give {MIN_PREFIX} digits or more"
            if len(kid) < MIN_PREFIX
            else "fits several recipients"
            if found
            else "is no recipient of this bundle"
        )
        raise _error(f"{kid} {cause}", "recipients-unknown")
    return found[0]


def _check_everyone(envelope: Envelope, recipients: Sequence[Key]) -> None:
    """Whether the keys and passphrases are those of an envelope, all of them and no other."""
    given = {key.fingerprint for key in recipients if key.algorithm != passphrase.ALGORITHM}
    wanted = {item.kid for item in envelope.recipients if item.cost is None}
    if given != wanted:
        missing, strange = sorted(wanted - given), sorted(given - wanted)
        raise _error(
            f"the public key of {missing[0]} is missing"
            if missing
            else f"{strange[0]} is no recipient of this bundle",
            "recipients-missing" if missing else "recipients-unknown",
            "give every recipient's public key; `asrpack recipients remove` first whom you cannot "
            "reach, and add new ones afterwards",
        )
    locked = {item.kid: item for item in envelope.recipients if item.cost is not None}
    for key in recipients:
        if key.algorithm == passphrase.ALGORITHM:
            opened = next((kid for kid in locked if _opens(key, locked[kid], envelope.header)), "")
            if not opened:
                raise _error("a passphrase is not one of this bundle's", "passphrase-wrong")
            del locked[opened]
    if locked:
        raise _error(
            f"the passphrase of {min(locked)} is missing",
            "recipients-missing",
            "give it with --recipient passphrase:…, or remove it first",
        )


def _opens(key: Key, item: Recipient, header: Header) -> bool:
    assert item.cost is not None
    salt = bytes.fromhex(item.kid)
    return passphrase.unwrap(item.wrapped, key.handle, salt, item.cost, header.info) is not None


def _error(message: str, code: str, remedy: str | None = None) -> KeyFileError:
    return KeyFileError(
        message,
        code=code,
        place=ENVELOPE_FILE,
        remedy=remedy or "see who can open it with `asrpack recipients list`",
    )
