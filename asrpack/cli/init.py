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
    _write(output, draft.text)
    schema = output.parent / SCHEMA_FILE
    if force or not schema.exists():
        _write(schema, schema_text())
    typer.echo(f"wrote {output}, and {schema} for editors\nnext: asrpack check {output}")


def _write(path: Path, text: str) -> None:
    """Atomically: whoever reads the file sees all of it or none."""
    import os

    from asrpack.errors import InputError

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"cannot write: {error.strerror}",
            code="recipe-unwritable",
            place=str(path),
            remedy="give a folder that is there and writable with -o",
        ) from None
