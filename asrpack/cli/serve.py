"""``asrpack serve``: a bundle as an HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Bundle, Decode, Identity, License, Threads, Trust


def serve(
    bundle: Bundle,
    identity: Identity = None,
    trust: Trust = None,
    licence: License = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0: everywhere.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8080,
    decode: Decode = None,
    max_body: Annotated[int, typer.Option(min=1, help="Megabytes of a request.")] = 512,
    max_duration: Annotated[
        int, typer.Option(min=1, help="Seconds of audio of a request.")
    ] = 14400,
    jobs: Annotated[
        int, typer.Option(min=1, help="Requests at a time, the waiting ones too; then 429.")
    ] = 64,
    threads: Threads = 0,
    latency: Annotated[
        float, typer.Option(min=0.01, help="Seconds that batching aims at for an utterance.")
    ] = 1.0,
    api_keys: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="API keys, one a line: a path, env:NAME or cmd:COMMAND. "
            "Default: $ASRPACK_API_KEYS, else none is needed.",
            show_default=False,
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM, with its chain.", show_default=False)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM, unencrypted.", show_default=False)
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="Whose pages may call it, repeatable; * for all."),
    ] = None,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds for what is under way once it must stop.")
    ] = 25.0,
    log_text: Annotated[
        bool, typer.Option("--log-text", help="Log recognised texts, too.")
    ] = False,
) -> None:
    """Serve a bundle over HTTP, as OpenAI's transcription API does, until SIGTERM."""
    from asrpack.runtime import commands
    from asrpack.runtime.service.settings import MEGABYTE, Settings

    settings = Settings(
        host=host,
        port=port,
        decode=decode,
        max_body=max_body * MEGABYTE,
        max_duration=max_duration,
        jobs=jobs,
        workers=threads,
        latency=latency,
        api_keys=api_keys,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        cors=tuple(cors or ()),
        drain=drain,
        log_text=log_text,
    )
    code = commands.serve(bundle, settings, identity=identity, trust=trust or (), licence=licence)
    raise typer.Exit(code)
