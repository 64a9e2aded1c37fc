"""Flags that several verbs share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[Path, typer.Argument(help="The recipe.")]
BuildName = Annotated[
    str | None, typer.Option("--build", help="One of the recipe's builds; all without it.")
]
Out = Annotated[Path, typer.Option("--out", help="Where artifacts go.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override the recipe, repeatable."),
]
Until = Annotated[str | None, typer.Option("--until", help="Stop after this stage.")]
Force = Annotated[
    list[str] | None, typer.Option("--force", help="Run this stage even if cached, repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Bundle = Annotated[Path, typer.Argument(help="The bundle's directory.", show_default=False)]
SigningKey = Annotated[
    str,
    typer.Option(
        "--sign",
        metavar="PRIVATE_KEY",
        help="The vendor's signing key: a path, env:NAME, cmd:COMMAND or a URI like pkcs11:….",
        show_default=False,
    ),
]
Identity = Annotated[
    str | None,
    typer.Option(
        metavar="PRIVATE_KEY",
        help="Yours: a path, env:NAME, cmd:COMMAND, passphrase: before one of these, or a URI "
        "like pkcs11:…. Default: $ASRPACK_IDENTITY.",
        show_default=False,
    ),
]
Identities = Annotated[
    list[str] | None,
    typer.Option(
        "--identity",
        metavar="PRIVATE_KEY",
        help="A recipient's key, to compare the tensors that ship: a path, env:NAME, cmd:COMMAND "
        "or a URI like pkcs11:…. Repeatable, where two bundles are for different recipients.",
        show_default=False,
    ),
]
Trust = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="The vendor's public key, got from the vendor and not from the bundle, or a trust "
        "policy. Given more than once: any of the signers. Default: $ASRPACK_TRUST, else "
        "/etc/asrpack/trust.json.",
        show_default=False,
    ),
]
License = Annotated[
    Path | None,
    typer.Option(
        "--license",
        metavar="FILE",
        help="The vendor's licence, or a folder of them. Default: $ASRPACK_LICENSE, then "
        "licence.json beside the bundle.",
        show_default=False,
    ),
]
Decode = Annotated[
    str | None,
    typer.Option(metavar="METHOD", help="Default: the model's own.", show_default=False),
]
Threads = Annotated[int, typer.Option(min=0, help="0: one for each physical core.")]
ARTIFACTS = Path("artifacts")
