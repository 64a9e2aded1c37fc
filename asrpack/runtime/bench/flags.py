"""The flags of a bundle's own ``bench``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All but those that every command has."""
    parser.add_argument(
        "--audio",
        action="append",
        default=[],
        type=Path,
        metavar="FILE|FOLDER",
        help="repeatable; default: the bundle's golden utterances",
    )
    parser.add_argument("--decode", metavar="METHOD", help="default: the model's own")
    parser.add_argument("--starts", type=int, default=5, help="processes for the cold start")
    parser.add_argument("--rounds", type=int, default=5, help="of all recordings")
    parser.add_argument(
        "--minutes", type=float, default=60, help="of the recordings again and again; 0: not"
    )
    parser.add_argument("--clients", default="1,2,4,8", help="at a time, level by level")
    parser.add_argument("--seconds", type=float, default=10, help="for each level")


def values_of(options: argparse.Namespace) -> dict[str, Any]:
    """As :func:`asrpack.runtime.bench.command.bench` takes them."""
    names = ("audio", "decode", "starts", "rounds", "minutes", "clients", "seconds")
    return {name: getattr(options, name) for name in names}
