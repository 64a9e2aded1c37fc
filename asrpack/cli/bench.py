"""``asrpack bench``: how fast a bundle is here, and how much memory it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Bundle, Decode, Identity, Json, License, Threads, Trust


def bench(
    bundle: Bundle,
    identity: Identity = None,
    trust: Trust = None,
    licence: License = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Recordings, repeatable. Default: the bundle's golden utterances.",
            show_default=False,
        ),
    ] = None,
    decode: Decode = None,
    starts: Annotated[int, typer.Option(help="Processes for the cold start.")] = 5,
    rounds: Annotated[int, typer.Option(help="Rounds of all recordings.")] = 5,
    minutes: Annotated[
        float, typer.Option(help="Minutes of the recordings again and again; 0: not.")
    ] = 60,
    clients: Annotated[str, typer.Option(help="Clients at a time, level by level.")] = "1,2,4,8",
    seconds: Annotated[float, typer.Option(help="Seconds for each level.")] = 10,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure a bundle on this host: cold start, speed, latency, memory, many at a time."""
    from asrpack.runtime.bench import command

    code = command.bench(
        bundle,
        identity=identity,
        trust=trust or (),
        licence=licence,
        audio=audio or (),
        decode=decode,
        starts=starts,
        rounds=rounds,
        minutes=minutes,
        clients=clients,
        seconds=seconds,
        threads=threads,
        as_json=as_json,
    )
    raise typer.Exit(code)
