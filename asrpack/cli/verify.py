"""``asrpack verify``: is this bundle what its vendor signed?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrpack.cli.options import Identity, License, Trust

_REFUSED = 6


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle's directory.", show_default=False)],
    trust: Trust = None,
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
    """Check a bundle against what this host trusts.

    Every file must be there, unchanged, with nothing added, and the signature must be by a
    trusted key; what a trust policy asks besides must be met; metadata and envelope must be well
    formed and agree. No decryption key is needed. Says which file is extra, missing or changed,
    and who signed. With --selftest, whether this host can run it, too.
    """
    from dataclasses import asdict
    from json import dumps

    from asrpack.bundle.opening import read_sealed
    from asrpack.bundle.verify import signed_by
    from asrpack.errors import ErrorGroup, IntegrityError
    from asrpack.runtime.keyring import needed_trust, read_trust

    files = needed_trust(trust or ())
    try:
        verified = read_sealed(bundle, read_trust(files)).verified
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
    provider, texts, same = "", 0, ""
    if selftest:
        from asrpack.runtime.commands import try_out

        tried = try_out(bundle, identity=identity, trust=files, licence=licence)
        methods, provider = tried.opened.description.methods, tried.opened.recognizer.provider
        texts, same = tried.texts, tried.same
    if as_json:
        report: dict[str, object] = {
            "ok": True,
            "findings": [],
            "signatures": [asdict(item) for item in verified.signatures],
            "trust": [str(path) for path in files],
        }
        ran = {"selftest": methods, "provider": provider, "golden_texts": texts}
        typer.echo(dumps(report | ran if selftest else report))
    else:
        by = ", ".join(str(path) for path in files)
        typer.echo(f"verified: {len(verified.digests)} files, by {by}")
        for line in signed_by(verified.signatures):
            typer.echo(f"  {line}")
        if selftest:
            typer.echo(f"selftest: ran {', '.join(methods)} on {provider}{same}")
