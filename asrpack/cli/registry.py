"""``asrpack registry``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asrpack.cli.options import Json

if TYPE_CHECKING:
    from asrpack.protect.registry import Issued


def registry(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="REGISTRY",
            help="What `asrpack personalize` and `asrpack license` keep, registry.sqlite.",
            show_default=False,
        ),
    ],
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="One customer's only.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Show who got which bundles, and under which licences, in the order they were made.

    A licence of a bundle that was not made by `asrpack personalize` stands by itself.
    """
    import json
    from dataclasses import asdict

    from asrpack.protect.registry import Registry

    kept = Registry(file)
    bundles = [item for item in kept.records() if customer in (None, item.customer)]
    licences = [item for item in kept.licences() if customer in (None, item.customer)]
    if as_json:
        shown: dict[str, list[dict[str, Any]]] = {
            "bundles": [asdict(item) for item in bundles],
            "licences": [asdict(item) for item in licences],
        }
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    for bundle in bundles:
        model = f"{bundle.name} {bundle.version} {bundle.build}"
        typer.echo(f"{bundle.customer}  {model}, bundle {bundle.bundle_id}, {bundle.created}")
        for licence in licences:
            if licence.bundle_id == bundle.bundle_id:
                typer.echo(f"  {_line(licence)}")
    known = {item.bundle_id for item in bundles}
    for licence in licences:
        if licence.bundle_id not in known:
            typer.echo(f"{licence.customer}  bundle {licence.bundle_id}")
            typer.echo(f"  {_line(licence)}")


def _line(licence: Issued) -> str:
    ends = licence.expires or "never"
    if licence.grace_days:
        ends += f" and {licence.grace_days} days"
    renews = f", renews {licence.supersedes}" if licence.supersedes else ""
    return (
        f"licence {licence.licence_id}, sequence {licence.sequence}, issued {licence.issued}, "
        f"begins {licence.not_before}, ends {ends}{renews}"
    )
