"""``asrpack personalize``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asrpack.cli.options import Json, Overrides

if TYPE_CHECKING:
    from asrpack.pipeline.customer import Outcome
    from asrpack.recipe.customers import Customer


def personalize(
    artifact: Annotated[
        Path,
        typer.Argument(help="The folder that a build with a watermark left.", show_default=False),
    ],
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="One customer's id.", show_default=False)
    ] = None,
    recipient: Annotated[
        Path | None,
        typer.Option(metavar="PUBLIC_KEY", help="That customer's key.", show_default=False),
    ] = None,
    customers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV with columns `customer`, `recipient` and, for a licence, `not_before`, "
            "`expires`, `grace`, `streams`, `hosts`.",
            show_default=False,
        ),
    ] = None,
    escrow: Annotated[
        str | None,
        typer.Option(
            metavar="PRIVATE_KEY",
            help="Yours, that bundles under a licence are encrypted for: a path, env:NAME, "
            "cmd:COMMAND or a URI like pkcs11:….",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Gets a folder for each customer. Default: ARTIFACT/customers."),
    ] = None,
    registry: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who got what. Default: registry.sqlite beside the artifact.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, help="So many customers at a time. Default: half of the cores."
        ),
    ] = None,
    overrides: Overrides = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make bundles that are there anew, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say for whom a bundle would be made; make none.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make each customer's own bundle from one build: marked, measured, encrypted and signed.

    What was made before and did not change is kept, so a run that was stopped, even by kill -9,
    goes on where it was. A customer whose model does not meet the gate is kept under rejected/,
    the others are made, and the exit code is 5.
    """
    import os

    from asrpack.bundle.secrets import SecretSource
    from asrpack.pipeline.events import listener
    from asrpack.pipeline.personalize import Request, plan_customers
    from asrpack.pipeline.personalize import personalize as make_all
    from asrpack.report.results import CUSTOMERS, REGISTRY

    request = Request(
        artifact=artifact,
        customers=_customers(customer, recipient, customers),
        out=out or artifact / CUSTOMERS,
        registry=registry or artifact.absolute().parent / REGISTRY,
        escrow=SecretSource.parse(escrow) if escrow else None,
        jobs=jobs or max(1, (os.cpu_count() or 1) // 2),
        overrides=tuple(overrides or ()),
        force=force,
    )
    if dry_run:
        outcomes = plan_customers(request)
        for outcome in outcomes:
            _print(outcome, as_json)
        return
    with listener(False) as listen:
        make_all(request, listen, lambda outcome: _print(outcome, as_json))


def _customers(name: str | None, recipient: Path | None, listed: Path | None) -> Sequence[Customer]:
    from asrpack.bundle.metadata import build_time
    from asrpack.errors import UsageError
    from asrpack.recipe.customers import read_customer, read_customers

    if listed is not None and name is None and recipient is None:
        return read_customers(listed, build_time())
    if listed is None and name is not None and recipient is not None:
        return [read_customer(name, recipient)]
    raise UsageError(
        "it does not say for whom",
        code="customers-missing",
        place="personalize",
        remedy="give --customer ID and --recipient PUBLIC_KEY, or --customers FILE",
    )


def _print(outcome: Outcome, as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(outcome.as_dict(), ensure_ascii=False))
    elif outcome.status == "make":
        typer.echo(f"{outcome.customer}  to make: {outcome.folder}")
    elif outcome.status in ("made", "kept"):
        typer.echo(f"{outcome.customer}  {outcome.status}: {outcome.folder}")
