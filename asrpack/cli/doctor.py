"""``asrpack doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_ERRORS_FOUND = 4


def doctor(
    out: Annotated[Path, typer.Option("--out", help="Where artifacts would be.")] = Path(
        "artifacts"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find what is wrong with this machine or its packages, each with a remedy.

    Exit code 4 where something does not work.
    """
    from asrpack.doctor import examine
    from asrpack.doctor.facts import gather

    findings = examine(gather(out))
    broken = any(finding.severity == "error" for finding in findings)
    if as_json:
        import json

        rows = [finding.as_dict() for finding in findings]
        typer.echo(json.dumps({"ok": not broken, "findings": rows}, ensure_ascii=False))
    else:
        for finding in findings:
            typer.echo(f"{finding.severity:<8} {finding.message}")
            if finding.remedy:
                typer.echo(f"{'':<8} → {finding.remedy}")
    if broken:
        raise typer.Exit(_ERRORS_FOUND)
