"""``asrpack run``: transcribe with a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Decode, Identity, License, Threads, Trust
from asrpack.runtime.command_line import end_at_sigterm


def run(
    bundle: Annotated[Path, typer.Argument(help="The bundle's directory.")],
    audio: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|FOLDER|-...", help="Audio: files, folders, or - for standard input."
        ),
    ],
    identity: Identity = None,
    trust: Trust = None,
    licence: License = None,
    decode: Decode = None,
    streaming: Annotated[
        bool,
        typer.Option(
            "--streaming", help="Hear the files piece by piece, as from a microphone; any length."
        ),
    ] = False,
    hotwords: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Phrases to prefer, one a line, and perhaps a tab and a boost (default 3).",
            show_default=False,
        ),
    ] = None,
    nbest: Annotated[
        int, typer.Option(min=0, help="With --json: so many hypotheses, too.", show_default=False)
    ] = 0,
    times: Annotated[
        bool, typer.Option("--times", help="With --json: when each unit was spoken, too.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="text|json|srt|vtt|ctm",
            help="Default: text; with --json: json.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Write a file of each; a run that was stopped goes on there.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do what is there already again.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Recordings at a time; 0: by the cores.")] = 0,
    threads: Threads = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Transcribe audio files with a bundle: verify it, decrypt it to memory, run it."""
    end_at_sigterm()
    from asrpack.runtime import commands

    code = commands.run(
        bundle,
        audio,
        identity=identity,
        trust=trust or (),
        licence=licence,
        decode=decode,
        streaming=streaming,
        hotwords=hotwords,
        nbest=nbest,
        times=times,
        form=form,
        as_json=as_json,
        output=output,
        overwrite=overwrite,
        workers=workers,
        threads=threads,
    )
    raise typer.Exit(code)
