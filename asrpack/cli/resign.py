"""``asrpack resign``: sign a finished bundle with another key of its vendor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Bundle, Identity, Json, SigningKey
from asrpack.cli.recipients import DryRun, Recipients


def resign(
    bundle: Bundle,
    trust: Annotated[
        list[Path],
        typer.Option(
            metavar="PUBLIC_KEY",
            help="Who signed the bundle until now. Given more than once: any of them.",
            show_default=False,
        ),
    ],
    sign: SigningKey,
    recipient: Recipients,
    identity: Identity = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Sign a bundle with another key, e.g. when the vendor's key is replaced.

    The files' keys are wrapped anew, since they are bound to the signer: every recipient's public
    key is needed. The encrypted files stay as they are.
    """
    from asrpack.cli.given_keys import read_identity, read_signer
    from asrpack.cli.recipients import read_recipients, report
    from asrpack.protect.recipients import resign as change
    from asrpack.runtime.keyring import read_trust

    result = change(
        bundle,
        read_recipients(recipient),
        identity=read_identity(identity),
        trust=read_trust(trust),
        signer=read_signer(sign),
        dry_run=dry_run,
    )
    report(result, dry_run, as_json)
