"""``asrpack build``."""

from __future__ import annotations

from typing import Annotated

import typer

from asrpack.cli.options import ARTIFACTS, BuildName, Force, Out, Overrides, Recipe, Until


def build(
    recipe: Recipe,
    build: BuildName = None,
    out: Out = ARTIFACTS,
    overrides: Overrides = None,
    until: Until = None,
    force: Force = None,
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
