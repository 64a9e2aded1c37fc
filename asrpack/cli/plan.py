"""``asrpack plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plan(
    recipe: Annotated[Path, typer.Argument(help="The recipe.")],
    build: Annotated[
        str | None, typer.Option("--build", help="One of the recipe's builds.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where artifacts are.")] = Path("artifacts"),
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override the recipe.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Stop after this stage.")] = None,
    force: Annotated[
        list[str] | None, typer.Option("--force", help="Run this stage even if cached.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
