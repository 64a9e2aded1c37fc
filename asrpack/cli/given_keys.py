"""Private keys that a verb's user names: a path, ``env:``, ``cmd:``, ``passphrase:`` or a URI."""

from __future__ import annotations

from asrpack.bundle.keys import Key, post_quantum_private, recipient_private, signing_private
from asrpack.bundle.secrets import SecretSource
from asrpack.runtime.keyring import identity_source


def read_identity(text: str | None) -> Key:
    """The key that opens a bundle; None for what the environment names."""
    return _identity(identity_source(text))


def read_escrow(text: str) -> Key:
    """The vendor's own key that opens a bundle."""
    return _identity(SecretSource.parse(text))


def read_signer(text: str) -> Key:
    """The key that signs."""
    source = SecretSource.parse(text)
    return signing_private(source.read(), str(source))


def read_post_quantum(text: str | None) -> Key | None:
    """The ML-DSA-65 key that signs besides; None where none is given."""
    if text is None:
        return None
    source = SecretSource.parse(text)
    return post_quantum_private(source.read(), str(source))


def _identity(source: SecretSource) -> Key:
    return recipient_private(source.read(), str(source))
