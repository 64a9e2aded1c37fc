"""``asrpack plan``."""

from __future__ import annotations

import typer

from asrpack.cli.options import ARTIFACTS, BuildName, Force, Json, Out, Overrides, Recipe, Until


def plan(
    recipe: Recipe,
    build: BuildName = None,
    out: Out = ARTIFACTS,
    overrides: Overrides = None,
    until: Until = None,
    force: Force = None,
    as_json: Json = False,
) -> None:
    """Show what a build would run, and why. Nothing is run or written."""
    import json

    from asrpack.pipeline.build import Request, plan_builds

    request = Request(recipe, build, out, tuple(overrides or ()), until, tuple(force or ()))
    plans = plan_builds(request)
    if as_json:
        rows = [
            {"stage": step.node.name, "status": step.status, "reason": step.reason, "build": name}
            for name, steps in plans.items()
            for step in steps
        ]
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for name, steps in plans.items():
        typer.echo(f"build {name}")
        for step in steps:
            typer.echo(f"  {step.node.name:<10} {step.status:<7} {step.reason}")
        runs = sum(step.status == "run" for step in steps)
        typer.echo(f"  {runs} of {len(steps)} stages run")
