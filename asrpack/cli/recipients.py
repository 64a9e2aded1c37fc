"""``asrpack recipients``: who can open a finished bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from asrpack.cli.apps import new_group
from asrpack.cli.options import Bundle, Identity, Json, SigningKey

if TYPE_CHECKING:
    from asrpack.bundle.keys import Key
    from asrpack.protect.recipients import Change

Recipients = Annotated[
    list[str],
    typer.Option(
        "--recipient",
        metavar="PUBLIC_KEY",
        help="A public key's file, or passphrase:SOURCE. Repeatable.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be, change nothing.")]

recipients = new_group(
    "Show and change who can open a finished bundle; its encrypted files stay as they are."
)


@recipients.command("list")
def list_(bundle: Bundle, as_json: Json = False) -> None:
    """Show who can open a bundle, as its envelope says; verifies nothing."""
    from dataclasses import asdict

    from asrpack.bundle.contents import read_envelope

    envelope = read_envelope(bundle)
    entries = [
        {"kid": item.kid, "kem": item.kem, **(asdict(item.cost) if item.cost else {})}
        for item in envelope.recipients
    ]
    if as_json:
        from json import dumps

        typer.echo(dumps({"verified": False, "recipients": entries}))
        return
    for item in entries:
        cost = f", {item['memory'] >> 10} MiB x {item['passes']}" if "memory" in item else ""
        typer.echo(f"{item['kid']}  {item['kem']}{cost}")


@recipients.command()
def add(
    bundle: Bundle,
    recipient: Recipients,
    sign: SigningKey,
    identity: Identity = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let more recipients open a bundle: wrap its keys for them, and sign it again."""
    from asrpack.cli.given_keys import read_identity, read_signer
    from asrpack.protect.recipients import add as change

    who = read_recipients(recipient)
    opener, signer = read_identity(identity), read_signer(sign)
    report(change(bundle, who, identity=opener, signer=signer, dry_run=dry_run), dry_run, as_json)


@recipients.command()
def remove(
    bundle: Bundle,
    kid: Annotated[
        list[str],
        typer.Argument(help="Key ids, or the first 8 digits or more.", show_default=False),
    ],
    sign: SigningKey,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Leave recipients out of a bundle, and sign it again.

    The files keep their keys: who could open the bundle before, and kept a copy of it or the
    keys, still can. Only a new build has new keys.
    """
    from asrpack.cli.given_keys import read_signer
    from asrpack.protect.recipients import remove as change

    result = change(bundle, kid, signer=read_signer(sign), dry_run=dry_run)
    report(result, dry_run, as_json)
    typer.echo(
        "asrpack: note: the files keep their keys: whoever was removed can open every copy they "
        "kept; only a new build shuts them out",
        err=True,
    )


def read_recipients(texts: list[str]) -> list[Key]:
    """Public keys from files, and passphrases."""
    from asrpack.bundle.keys import recipient_private, recipient_public
    from asrpack.bundle.secrets import SecretSource

    sources = [SecretSource.parse(text) for text in texts]
    return [
        (recipient_private if source.kind == "passphrase" else recipient_public)(
            source.read(), str(source)
        )
        for source in sources
    ]


def report(change: Change, dry_run: bool, as_json: bool) -> None:
    """Prints what was done, or would be."""
    if as_json:
        from json import dumps

        fields = {
            "ok": True,
            "dry_run": dry_run,
            "bundle_id": change.bundle_id,
            "sequence": change.sequence,
            "signer": change.signer,
            "added": change.added,
            "removed": change.removed,
            "recipients": [{"kid": item.kid, "kem": item.kem} for item in change.recipients],
            "dropped_signatures": change.dropped,
        }
        typer.echo(dumps(fields))
        return
    for word, kids in (("added", change.added), ("removed", change.removed)):
        for kid in kids:
            typer.echo(f"{word + ':':<10}{kid}")
    for name in change.dropped:
        typer.echo(f"dropped:  signatures/{name}, which was over the bundle as it was")
    typer.echo(f"{'would be' if dry_run else 'now'}: sequence {change.sequence}, ", nl=False)
    typer.echo(f"{len(change.recipients)} recipients, signed by {change.signer}")
