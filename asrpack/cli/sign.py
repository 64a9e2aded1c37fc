"""``asrpack sign``: one more signature for a bundle that is signed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Json, Trust


def sign(
    bundle: Annotated[Path, typer.Argument(help="The bundle's directory.", show_default=False)],
    key: Annotated[
        str,
        typer.Option(
            metavar="PRIVATE_KEY",
            help="Yours, of kind signing or signing-pq: a path, env:NAME or cmd:COMMAND.",
            show_default=False,
        ),
    ],
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Verify a bundle, and sign the very statement that its vendor signed.

    For whoever must vouch for a bundle besides its vendor: a security team, an auditor. Nothing
    in the bundle changes; the signature is a file under signatures/. A host demands it with
    `asrpack trust require --countersigner`.
    """
    from asrpack.bundle.keys import any_signing_private
    from asrpack.bundle.secrets import SecretSource
    from asrpack.protect.sign import countersign
    from asrpack.runtime.keyring import needed_trust, read_trust

    source = SecretSource.parse(key)
    signer = any_signing_private(source.read(), str(source))
    written = countersign(bundle, signer, read_trust(needed_trust(trust or ())))
    if as_json:
        from json import dumps

        fields = {"signature": str(written), "algorithm": signer.algorithm}
        typer.echo(dumps({**fields, "id": signer.fingerprint}, ensure_ascii=False))
    else:
        typer.echo(f"signed: {written}")
