"""``asrpack schema``."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the recipe's JSON Schema (draft 2020-12), for editors and other tools.

    A recipe names it in its first line: `# yaml-language-server: $schema=recipe.schema.json`.
    """
    from asrpack.recipe.json_schema import schema_text

    typer.echo(schema_text(), nl=False)
