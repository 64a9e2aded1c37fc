"""``asrpack verify``: is this bundle what its vendor signed?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Identity, License

_REFUSED = 6


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle's directory.", show_default=False)],
    trust: Annotated[
        list[Path],
        typer.Option(
            metavar="PUBLIC_KEY",
            help="The vendor's public key, got from the vendor and not from the bundle. "
            "Given more than once: any of them.",
            show_default=False,
        ),
    ],
    selftest: Annotated[
        bool,
        typer.Option(
            "--selftest",
            help="Then decrypt it with --identity, load it, and run every decoding method.",
        ),
    ] = False,
    identity: Identity = None,
    licence: License = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check a bundle against its vendor's public key.

    Every file must be there, unchanged, with nothing added, and the signature must be by a
    trusted key. No decryption key is needed. Says which file is extra, missing or changed.
    With --selftest, whether this host can run it, too.
    """
    from json import dumps

    from asrpack.bundle.keys import public_pem, signing_public
    from asrpack.bundle.opening import check_bundle
    from asrpack.bundle.secrets import SecretSource
    from asrpack.errors import ErrorGroup, IntegrityError

    keys = [
        public_pem(signing_public(SecretSource("file", str(path)).read(), str(path)))
        for path in trust
    ]
    try:
        verified = check_bundle(bundle, keys)
    except (IntegrityError, ErrorGroup) as refused:
        errors = refused.errors if isinstance(refused, ErrorGroup) else [refused]
        if as_json:
            findings = [
                {
                    "code": item.code,
                    "path": item.place,
                    "message": item.message,
                    "remedy": item.remedy,
                }
                for item in errors
            ]
            typer.echo(dumps({"ok": False, "findings": findings}, ensure_ascii=False))
        else:
            for item in errors:
                typer.echo(f"{item.place}: {item.message} [{item.code}]\n  remedy: {item.remedy}")
            count = f"{len(errors)} finding{'s' if len(errors) > 1 else ''}"
            typer.echo(f"asrpack: {bundle} is refused: {count}", err=True)
        raise typer.Exit(_REFUSED) from None
    methods: tuple[str, ...] = ()
    provider = ""
    if selftest:
        from asrpack.runtime.commands import try_out

        opened = try_out(bundle, identity=identity, trust=trust, licence=licence)
        methods, provider = opened.description.methods, opened.recognizer.provider
    if as_json:
        report: dict[str, object] = {"ok": True, "findings": []}
        typer.echo(
            dumps(report | {"selftest": methods, "provider": provider} if selftest else report)
        )
    else:
        typer.echo(
            f"verified: {len(verified.digests)} files, signed by {verified.signer.fingerprint}"
        )
        if selftest:
            typer.echo(f"selftest: ran {', '.join(methods)} on {provider}")
