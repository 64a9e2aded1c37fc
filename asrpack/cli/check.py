"""``asrpack check``."""

from __future__ import annotations

import typer

from asrpack.cli.options import Json, Overrides, Recipe


def check(
    recipe: Recipe,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Check a recipe and all that it names; build nothing.

    Exit code 3, with every fault, where something is wrong.
    """
    from asrpack.pipeline.check import check_recipe
    from asrpack.pipeline.fetch import load_with_model

    loaded = load_with_model(recipe, overrides or ())
    checked = check_recipe(loaded, weights=True)
    wanted = loaded.recipe
    if as_json:
        import json

        typer.echo(
            json.dumps(
                {
                    "ok": True,
                    "findings": [],
                    "name": wanted.name,
                    "version": wanted.version,
                    "builds": {name: build.precision for name, build in wanted.builds.items()},
                    "test_utterances": len(checked.test),
                    "calibration_utterances": len(checked.calibration),
                    "recipients": len(wanted.protect.encrypt.recipients),
                },
                ensure_ascii=False,
            )
        )
        return
    builds = ", ".join(f"{name} ({build.precision})" for name, build in wanted.builds.items())
    mark = wanted.protect.watermark
    typer.echo(
        f"{recipe}: ok: {wanted.name} {wanted.version}, builds {builds}; "
        f"{len(checked.test)} test and {len(checked.calibration)} calibration utterances; "
        f"recipients: {len(wanted.protect.encrypt.recipients)}; "
        + (f"watermark for {mark.customer}" if mark else "no watermark")
    )
