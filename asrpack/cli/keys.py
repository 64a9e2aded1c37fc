"""``asrpack keys``: make keys, and show what a key file holds without its secret."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.apps import new_group


class _Kind(StrEnum):
    signing = "signing"
    signing_pq = "signing-pq"
    recipient = "recipient"
    watermark = "watermark"


class _Kem(StrEnum):
    xwing = "x-wing"
    x25519 = "x25519"


class _Curve(StrEnum):
    p256 = "p256"
    p384 = "p384"


keys = new_group("Make and show keys.")


@keys.command()
def generate(
    kind: Annotated[_Kind, typer.Argument(help="What the key is for.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The private key's file; the public half goes beside it, with the suffix .pub.",
            show_default=False,
        ),
    ],
    kem: Annotated[
        _Kem,
        typer.Option(
            help="A recipient's algorithm; x25519 for hosts whose software has no ML-KEM."
        ),
    ] = _Kem.xwing,
    curve: Annotated[_Curve, typer.Option(help="A signing key's curve.")] = _Curve.p256,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Make a key.

    signing: with it a vendor signs bundles; customers get the .pub file.
    signing-pq: the post-quantum key (ML-DSA-65) with which the vendor signs, too.
    recipient: with it a customer opens bundles; the vendor gets the .pub file.
    watermark: with it a vendor marks weights and finds out who leaked; has no public half.
    """
    from asrpack.protect.keys import generate as make
    from asrpack.protect.keys import write_key_pair

    key, public = write_key_pair(make(kind.value, kem.value, curve.value), output, force=force)
    files = {"private_key": str(output), "public_key": str(public) if public else None}
    _print({**files, "kind": key.kind, "algorithm": key.algorithm, "id": key.fingerprint}, as_json)


@keys.command()
def show(
    file: Annotated[Path, typer.Argument(help="A key file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Show what a key file holds, and the key's id; never the key."""
    from asrpack.bundle.keys import read_key
    from asrpack.bundle.secrets import SecretSource

    key = read_key(SecretSource("file", str(file)).read(), str(file))
    half = "private" if key.private else "public"
    _print(
        {"kind": key.kind, "half": half, "algorithm": key.algorithm, "id": key.fingerprint}, as_json
    )


@keys.command()
def public(
    key: Annotated[
        str,
        typer.Argument(
            help="A private key: a path, env:NAME, cmd:COMMAND or a URI like pkcs11:….",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Its file.", show_default=False),
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write the public half of a private key, of one that stays in a token too."""
    from asrpack.bundle.keys import private_key
    from asrpack.bundle.secrets import SecretSource
    from asrpack.protect.keys import write_public

    source = SecretSource.parse(key)
    read = private_key(source.read(), str(source))
    write_public(read, output, force=force)
    fields = {"public_key": str(output), "kind": read.kind, "algorithm": read.algorithm}
    _print({**fields, "id": read.fingerprint}, as_json)


def _print(fields: dict[str, str | None], as_json: bool) -> None:
    if as_json:
        from json import dumps

        typer.echo(dumps(fields, ensure_ascii=False))
        return
    for name, value in fields.items():
        if value is not None:
            typer.echo(f"{name.replace('_', ' ') + ':':<13}{value}")
