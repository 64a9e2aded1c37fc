"""Where keys come from beside files: providers by scheme, built in or installed as plug-ins.

A provider is a function ``(reference: str) -> Key`` for references like ``scheme:…``. A package
adds one by an entry point of the group ``asrpack.keys`` whose name is the scheme. The key's
``handle`` need not hold the secret. Of a signing key, :class:`cryptography`'s
``EllipticCurvePrivateKey.sign``, ``public_key`` and ``curve`` are used, of a recipient's
``X25519PrivateKey.exchange`` and ``public_key``: a class that implements those can leave the rest
to a token. :mod:`asrpack.bundle.pkcs11_token` does.

Standard library only, and nothing is imported before a reference of its scheme is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from asrpack.errors import AsrpackError, KeyFileError, ToolchainError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from asrpack.bundle.keys import Key

GROUP = "asrpack.keys"
# Known without installation metadata, which a bundle's own runtime has none of.
_BUILT_IN = {"pkcs11": ("asrpack.bundle.pkcs11_token", "open_key")}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")


def scheme_of(text: str) -> str | None:
    """The provider's scheme that a reference starts with; None where no provider has it."""
    match = _SCHEME.match(text)
    return match[1] if match and (match[1] in _BUILT_IN or _plug_in(match[1])) else None


def open_reference(reference: str) -> Key:
    """The key that a reference leads to.

    Raises:
        KeyFileError: no provider has the scheme, or it has no such key.
        ToolchainError: what the provider needs is not installed.
    """
    from asrpack.bundle.keys import Key

    scheme = scheme_of(reference)
    if scheme is None:
        raise KeyFileError(
            "no provider of keys has this scheme",
            code="key-provider-unknown",
            place=reference,
            remedy=f"install the package that has it (an entry point of the group {GROUP})",
        )
    try:
        key = _provider(scheme)(reference)
    except AsrpackError:
        raise
    except Exception as error:
        # Of somebody else's code: its text may hold what must not be shown.
        raise KeyFileError(
            f"the provider of {scheme}: keys failed ({type(error).__name__})",
            code="key-provider",
            place=reference,
            remedy=f"check the reference, and the package that provides {scheme}: keys",
        ) from None
    if not isinstance(key, Key) or not key.private:
        raise KeyFileError(
            f"the provider of {scheme}: keys gave no private key",
            code="key-provider",
            place=reference,
            remedy=f"report it to the maker of the package that provides {scheme}: keys",
        )
    return key


def _plug_in(scheme: str) -> EntryPoint | None:
    # Not above: it costs a start tens of milliseconds, and most keys are files.
    from importlib.metadata import entry_points

    return next(iter(entry_points(group=GROUP, name=scheme)), None)


def _provider(scheme: str) -> Callable[[str], object]:
    plug_in = _plug_in(scheme)
    try:
        if scheme in _BUILT_IN:
            module, name = _BUILT_IN[scheme]
            provider = getattr(importlib.import_module(module), name)
        else:
            assert plug_in is not None  # scheme_of
            provider = plug_in.load()
    except (ImportError, AttributeError) as error:
        raise ToolchainError(
            f"the provider of {scheme}: keys cannot be loaded: {error}",
            code="key-provider-missing",
            place=scheme,
            remedy="install the package that provides it again",
        ) from None
    result: Callable[[str], object] = provider
    return result
