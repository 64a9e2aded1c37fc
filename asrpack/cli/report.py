"""``asrpack report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    artifact: Annotated[
        Path,
        typer.Argument(help="The folder that a build left, or its `rejected`.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Without it: ARTIFACT/report.html."),
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a build's report anew from what it left, and print its path.

    One HTML file that needs nothing else: the verdict with its reasons, what was measured, whose
    texts changed, what went in. It holds texts of the test set: it stays with the vendor.
    """
    import json

    from asrpack.cli.files import write_text
    from asrpack.report.html import REPORT, render_report
    from asrpack.report.results import read_results

    path = artifact / REPORT if output is None else output
    write_text(path, render_report(artifact), code="report-unwritable")
    if as_json:
        accepted = read_results(artifact).gate["ok"]
        typer.echo(json.dumps({"report": str(path), "accepted": accepted}, ensure_ascii=False))
    else:
        typer.echo(path)
    if browse:
        _browse(path)


def _browse(path: Path) -> None:
    import webbrowser

    from asrpack.errors import ToolchainError

    if not webbrowser.open(path.absolute().as_uri()):
        raise ToolchainError(
            "there is no browser that could show it",
            code="no-browser",
            place=str(path),
            remedy="copy the file to where there is one: it needs nothing else",
        )
