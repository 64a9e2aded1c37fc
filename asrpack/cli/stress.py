"""``asrpack stress``: many clients at once against a service, or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Identity, Json, License, Trust
from asrpack.errors import INTERRUPTED, GateError


def stress(
    service: Annotated[
        str,
        typer.Argument(
            metavar="URL|BUNDLE", help="A service, or a bundle to serve here.", show_default=False
        ),
    ],
    protocol: Annotated[
        str,
        typer.Option(help="openai, paddlespeech, paddlespeech-stream, wenet, funasr or vosk."),
    ] = "openai",
    audio: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE|FOLDER", help="Recordings, repeatable.", show_default=False),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Recordings with the texts expected of the service, as `run --json` prints them.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Clients at a time.")] = 10,
    duration: Annotated[float, typer.Option(min=0.1, help="Seconds that count.")] = 60,
    warm_up: Annotated[float, typer.Option(min=0, help="Seconds before, that do not.")] = 5,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Requests a second, at random times and whether answers come or not. "
            "Default: each client waits for its last answer.",
            show_default=False,
        ),
    ] = None,
    pace: Annotated[
        float,
        typer.Option(min=0, help="Of streams: 1 sends audio as it is spoken, 0 all at once."),
    ] = 1.0,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for an answer; of a stream, after its audio.")
    ] = 60,
    model: Annotated[str, typer.Option(help="As the service calls it; openai only.")] = "whisper-1",
    api_key: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A path, env:NAME or cmd:COMMAND.", show_default=False),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Authority of the service's certificate.", show_default=False
        ),
    ] = None,
    identity: Identity = None,
    trust: Trust = None,
    licence: License = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Write a page with plots.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Load a service with many clients at once; measure latency, throughput and failures.

    Exit code 5 says that a request failed or got a wrong text; a service that says it is full has
    not failed. Ctrl-C prints what was measured so far.
    """
    import json

    from asrpack.cli.files import check_folder, write_text
    from asrpack.report.stress import render_stress
    from asrpack.runtime.console import say
    from asrpack.stress.command import stress as measure
    from asrpack.stress.plan import Plan
    from asrpack.stress.table import headline, remarks, table

    if report is not None:
        check_folder(report, code="report-unwritable")
    found = measure(
        service,
        Plan(concurrency, warm_up, duration, rate, timeout),
        protocol=protocol,
        audio=audio or (),
        manifest=manifest,
        pace=pace,
        model=model,
        api_key=api_key,
        ca=ca,
        identity=identity,
        trust=trust or (),
        licence=licence,
    )
    say(json.dumps(found, indent=1, ensure_ascii=False) if as_json else table(found))
    if report is not None:
        lines = {"asked": list(headline(found)), "remarks": list(remarks(found))}
        write_text(report, render_stress(found, lines), code="report-unwritable")
    if found["interrupted"]:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(0 if found["ok"] else GateError.exit_code)
