"""``asrpack rebuild``: an artifact's build once more, and what came out otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Identities, Json

_FRESH = "fresh"


def rebuild(
    artifact: Annotated[
        Path,
        typer.Argument(help="The folder that a build left, or its `rejected`.", show_default=False),
    ],
    cache: Annotated[
        str,
        typer.Option(
            metavar="DIR|fresh",
            help="Keep the stages' results there, and take what is there; or build all anew.",
        ),
    ] = _FRESH,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where what the recipe names is now. Default: where it was.",
            show_default=False,
        ),
    ] = None,
    identity: Identities = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look at what would go in; build nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build an artifact again from its lock, and say what differs.

    It takes the recipe, overrides and build of ARTIFACT, which stays as it is, and the keys that
    the recipe names; the second build is compared stage by stage and thrown away. Exit code 8:
    something differs that should not, or, in a dry run, what would go in.
    """
    import json

    from asrpack.cli.differences import DIFFERS, rebuild_lines
    from asrpack.cli.given_keys import read_identity
    from asrpack.pipeline.events import listener
    from asrpack.pipeline.rebuild import rebuild as build_again

    keys = [read_identity(text) for text in identity or ()]
    with listener(as_json=False) as listen:
        found = build_again(
            artifact,
            listen,
            folder=folder,
            cache=None if cache == _FRESH else Path(cache),
            identities=keys,
            dry_run=dry_run,
        )
    if as_json:
        typer.echo(json.dumps(found.as_dict(), ensure_ascii=False, allow_nan=False))
    else:
        for line in rebuild_lines(found):
            typer.echo(line)
    if not found.same:
        raise typer.Exit(DIFFERS)
