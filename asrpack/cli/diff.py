"""``asrpack diff``: what differs between two bundles, or between what two builds left."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Identities, Json, License


def diff(
    a: Annotated[Path, typer.Argument(help="A bundle, or the folder that a build left.")],
    b: Annotated[Path, typer.Argument(help="The other one.")],
    identity: Identities = None,
    licence: License = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 8 where anything differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what differs: recipe, sources, tools, files, tensors, keys, measured figures.

    This does not verify: a forged bundle can say anything. `asrpack verify` tells.
    """
    import json

    from asrpack.cli.differences import DIFFERS, comparison_lines
    from asrpack.cli.given_keys import read_identity
    from asrpack.pipeline.compare import compare

    keys = [read_identity(text) for text in identity or ()]
    found = compare(a, b, keys, licence)
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False, allow_nan=False))
    else:
        for line in comparison_lines(found):
            typer.echo(line)
    if exit_code and not found.same:
        raise typer.Exit(DIFFERS)
