"""Licences, as CycloneDX has them: SPDX expressions where they are, else in words."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from license_expression import Licensing

# Some packages have the whole licence where its name belongs.
_LONGEST_NAME = 100
_CLASSIFIER = "License :: OSI Approved :: "


def license_choice(text: str | None) -> list[dict[str, Any]]:
    """The ``licenses`` of a component; empty where nothing is known."""
    if not text:
        return []
    expression = _expression(text)
    return [{"expression": expression} if expression else {"license": {"name": text}}]


def package_license(name: str) -> str | None:
    """What a distribution's metadata say; None where they say nothing, or it is not here."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return None
    classifiers = [item for item in found.get_all("Classifier") or [] if _CLASSIFIER in item]
    named = [item.removeprefix(_CLASSIFIER) for item in classifiers]
    written = found.get_all("License-Expression") or found.get_all("License") or [""]
    given = str(written[0]).strip()
    if "\n" in given or len(given) > _LONGEST_NAME:
        given = ""
    return given or ", ".join(named) or None


def _expression(text: str) -> str | None:
    """An SPDX expression in its normal form, or None."""
    from license_expression import ExpressionError

    try:
        parsed = _spdx().parse(text, validate=True, strict=True)
    except (ExpressionError, IndexError):  # of `()`
        return None
    return str(parsed) if parsed is not None else None


@functools.cache
def _spdx() -> Licensing:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
