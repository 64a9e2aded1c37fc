"""``asrpack build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def build(
    recipe: Annotated[Path, typer.Argument(help="The recipe.")],
    build: Annotated[
        str | None, typer.Option("--build", help="One of the recipe's builds; all without it.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where artifacts go.")] = Path("artifacts"),
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Override the recipe, repeatable."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Stop after this stage.")] = None,
    force: Annotated[
        list[str] | None, typer.Option("--force", help="Run this stage even if cached, repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The same as `asrpack plan`.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events as JSON lines; the last is the result.")
    ] = False,
) -> None:
    """Build the bundles that a recipe describes.

    What was built before and did not change is taken from the cache; a build that was stopped,
    even by kill -9, goes on where it was.
    """
    if dry_run:
        from asrpack.cli.plan import plan

        plan(recipe, build, out, overrides, until, force, as_json)
        return

    from asrpack.pipeline.build import Request, run_builds
    from asrpack.pipeline.events import listener

    request = Request(recipe, build, out, tuple(overrides or ()), until, tuple(force or ()))
    with listener(as_json) as listen:
        run_builds(request, listen)
