"""The flags of a bundle's own ``serve``."""

from __future__ import annotations

import argparse
from pathlib import Path

from asrpack.runtime.service.settings import MEGABYTE, Settings

_DEFAULT = Settings()


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All but those that every command has."""

    def add(name: str, kind: type, default: object, text: str, metavar: str = "N") -> None:
        shown = text if default is None else f"{text}; default: {default}"
        parser.add_argument(name, type=kind, default=default, help=shown, metavar=metavar)

    add("--host", str, _DEFAULT.host, "where to listen, 0.0.0.0: everywhere", "ADDRESS")
    add("--port", int, _DEFAULT.port, "0: any that is free")
    add("--decode", str, None, "default: the model's own", "METHOD")
    add("--max-body", int, _DEFAULT.max_body // MEGABYTE, "megabytes of a request")
    add("--max-duration", float, _DEFAULT.max_duration, "seconds of audio of a request")
    add("--jobs", int, _DEFAULT.jobs, "requests at a time, the waiting ones too; then 429")
    add("--latency", float, _DEFAULT.latency, "seconds that batching aims at for an utterance")
    add(
        "--api-keys",
        str,
        None,
        "API keys, one a line: a path, env:NAME or cmd:COMMAND; default: $ASRPACK_API_KEYS, else "
        "none is needed",
        "FILE",
    )
    add("--tls-certificate", Path, None, "PEM, with its chain", "FILE")
    add("--tls-key", Path, None, "PEM, unencrypted", "FILE")
    parser.add_argument(
        "--cors",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="whose pages may call it, repeatable; * for all",
    )
    add("--drain", float, _DEFAULT.drain, "seconds for what is under way once it must stop")
    parser.add_argument("--log-text", action="store_true", help="log recognised texts, too")


def settings_of(options: argparse.Namespace) -> Settings:
    """What was given.

    Raises:
        UsageError: a number that makes no sense.
    """
    return Settings(
        host=options.host,
        port=options.port,
        decode=options.decode,
        max_body=options.max_body * MEGABYTE,
        max_duration=options.max_duration,
        jobs=options.jobs,
        workers=options.threads,
        latency=options.latency,
        api_keys=options.api_keys,
        tls_certificate=options.tls_certificate,
        tls_key=options.tls_key,
        cors=tuple(options.cors),
        drain=options.drain,
        log_text=options.log_text,
    )
