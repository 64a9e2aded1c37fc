"""Where the templates are."""

from __future__ import annotations

from pathlib import Path

import asrpack

_PACKAGE = Path(asrpack.__file__).parent


def templates_folder(name: str) -> Path:
    """``bundle`` or ``report``: inside an installed package, beside it in a checkout."""
    installed = _PACKAGE / "_templates"
    return (installed if installed.is_dir() else _PACKAGE.parent / "templates") / name
