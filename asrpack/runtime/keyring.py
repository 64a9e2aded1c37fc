"""Which keys to use: the caller's, else those that the environment names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from asrpack.bundle.secrets import SecretSource
from asrpack.bundle.verify import MAX_TRUST, FormatError, read_policy
from asrpack.errors import KeyFileError, UsageError

TRUST_VARIABLE = "ASRPACK_TRUST"
HOST_POLICY = Path("/etc/asrpack/trust.json")
IDENTITY_VARIABLE = "ASRPACK_IDENTITY"


def trust_paths(given: Sequence[Path]) -> list[Path]:
    """Files of public keys or trust policies.

    Those given, else those that ``ASRPACK_TRUST`` lists, else the host's own policy if it has one.
    """
    if given:
        return list(given)
    named = [Path(item) for item in os.environ.get(TRUST_VARIABLE, "").split(os.pathsep) if item]
    return named or ([HOST_POLICY] if os.path.lexists(HOST_POLICY) else [])


def pinned(given: Sequence[Path], warn: Callable[[str], None]) -> list[Path]:
    """:func:`trust_paths`, with a warning where nothing is trusted."""
    found = trust_paths(given)
    if not found:
        warn(
            "no vendor key is pinned, so who signed this bundle is not checked; "
            f"pin it with --trust or {TRUST_VARIABLE}=FILE"
        )
    return found


def needed_trust(given: Sequence[Path]) -> list[Path]:
    """:func:`trust_paths` where nothing can be done without.

    Raises:
        UsageError: nothing is trusted.
    """
    if paths := trust_paths(given):
        return paths
    raise UsageError(
        "verifying needs the vendor's public key, or a trust policy",
        code="trust-missing",
        remedy=f"give its file with --trust or {TRUST_VARIABLE}; or make this host's policy, "
        f"{HOST_POLICY}, with `asrpack trust init` and `asrpack trust add`",
    )


def read_trust(
    paths: Sequence[Path],
    remedy: str = f"give the vendor's public key, or a trust policy, with --trust or "
    f"{TRUST_VARIABLE}",
) -> list[bytes]:
    """The contents of files of public keys or trust policies.

    Args:
        remedy: where a file is none.

    Raises:
        KeyFileError: one cannot be read, or is neither.
    """
    items = []
    for path in paths:
        try:
            with path.open("rb") as stream:
                items.append(stream.read(MAX_TRUST + 1))
            read_policy(items[-1])
        except OSError as error:
            raise KeyFileError(
                f"cannot read what is trusted: {error.strerror}",
                code="trust-unreadable",
                place=str(path),
                remedy=remedy,
            ) from None
        except FormatError as fault:
            raise KeyFileError(
                f"what is trusted cannot be used: {fault}",
                code=fault.code,
                place=str(path),
                remedy=remedy,
            ) from None
    return items


def identity_source(given: str | None) -> SecretSource:
    """Where the recipient's private key is: as given, else as ``ASRPACK_IDENTITY`` says.

    Raises:
        UsageError: neither says so.
    """
    text = given or os.environ.get(IDENTITY_VARIABLE)
    if not text:
        raise UsageError(
            "the bundle is encrypted and no private key was given",
            code="identity-missing",
            remedy=f"give yours with --identity or {IDENTITY_VARIABLE}: "
            "a path, env:NAME, cmd:COMMAND, passphrase:… or pkcs11:…",
        )
    return SecretSource.parse(text)
