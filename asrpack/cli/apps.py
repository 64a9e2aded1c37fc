"""Typer applications as every verb has them: plain help, ``-h``, errors left to ``cli.main``."""

from __future__ import annotations

from typing import Any

import typer


def new_app(**options: Any) -> typer.Typer:
    """An application for one verb."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


def new_group(text: str) -> typer.Typer:
    """An application for a verb that has verbs of its own; ``text`` is its help."""
    return new_app(help=text, no_args_is_help=True)
