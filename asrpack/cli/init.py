"""``asrpack init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Its directory, or an .onnx file.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The recipe to write; - prints.")
    ] = Path("recipe.yaml"),
    checkpoint: Annotated[
        str | None, typer.Option(help="Which weights to take, where there are several.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Look at a model and write a commented recipe for it, ready to be edited."""
    from asrpack.cli.files import write_text
    from asrpack.errors import InputError
    from asrpack.pipeline.draft import SCHEMA_FILE, draft_recipe
    from asrpack.recipe.json_schema import schema_text

    prints = str(output) == "-"
    if not prints and output.exists() and not force:
        raise InputError(
            "there is a file already",
            code="recipe-exists",
            place=str(output),
            remedy="give another name with -o, or --force to replace it",
        )
    draft = draft_recipe(model, Path("recipe.yaml") if prints else output, checkpoint)
    typer.echo(f"{model}: {draft.reason}\n  {draft.summary}", err=prints)
    if prints:
        typer.echo(draft.text, nl=False)
        return
    write_text(output, draft.text, code="recipe-unwritable")
    schema = output.parent / SCHEMA_FILE
    if force or not schema.exists():
        write_text(schema, schema_text(), code="recipe-unwritable")
    typer.echo(f"wrote {output}, and {schema} for editors\nnext: asrpack check {output}")
