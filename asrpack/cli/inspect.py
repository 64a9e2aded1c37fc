"""``asrpack inspect``: what a bundle says it is; checks no signature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer


def inspect(
    bundle: Annotated[Path, typer.Argument(help="The bundle's directory.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what a bundle says it is.

    This does not verify: a forged bundle can say anything. `asrpack verify` tells.
    """
    from asrpack.bundle.contents import read_contents
    from asrpack.bundle.verify import show

    contents = read_contents(bundle)
    if as_json:
        from json import dumps

        typer.echo(dumps(contents))
        return
    typer.echo("NOT VERIFIED: this is what the bundle says; `asrpack verify` tells if it is true.")
    for line in _lines(contents):
        typer.echo(show(line))


def _lines(contents: dict[str, Any]) -> Iterator[str]:
    metadata = contents["metadata"]
    model = metadata["model"]
    yield f"{metadata['name']} {metadata['version']}, build {metadata['build']}"
    yield f"  bundle      {metadata['bundle_id']}, sequence {metadata['sequence']}"
    yield f"  created     {metadata['created']} by asrpack {metadata['asrpack']}"
    yield (
        f"  runs on     {metadata['target']}, {metadata['precision']}; "
        f"asrpack {metadata['minimum_runtime']} or newer"
    )
    if provider := metadata.get("provider"):
        allowed = "may run on the CPU" if provider["fallback"] else "no other device"
        yield f"  provider    {provider['target']}, {allowed}"
        for name, value in provider["options"].items():
            if name != "profiles":
                yield f"              {name}: {value}"
    yield (
        f"  model       {model['family']}, {model['sample_rate']} Hz, "
        f"{model['vocabulary_size']} units, {model['decode_method']}"
    )
    yield f"  watermark   {metadata['watermark'] or 'none'}"
    yield f"  signer      {contents['signer']}"
    for item in contents["recipients"]:
        yield f"  recipient   {item['kid']} ({item['kem']})"
    yield from _figures(contents["evaluation"])
    yield f"  {len(contents['files'])} files, {contents['bytes']:,} bytes"
    for item in contents["files"]:
        role = metadata["files"].get(item["path"])
        yield f"  {item['size']:>14,}  {item['path']}" + (f"  ({role})" if role else "")


def _figures(evaluation: dict[str, Any] | None) -> Iterator[str]:
    """One line a method; everything else that was measured is left to ``--json``."""
    from asrpack.bundle.provider import measured_in_words

    if evaluation is None:
        yield "  measured    nothing (no evaluation.json)"
        return
    try:
        if provider := evaluation.get("provider"):
            yield f"  measured    {measured_in_words(provider).removeprefix('measured ')}"
        for method, result in evaluation["methods"].items():
            rates = [
                f"{metric.upper()} {result[metric]['candidate']['rate']:.2%} "
                f"(fp32 {result[metric]['baseline']['rate']:.2%})"
                for metric in ("cer", "wer")
            ]
            yield f"  measured    {method}: {', '.join(rates)}"
            if streaming := result.get("streaming"):
                rates = [
                    f"{metric.upper()} {streaming[metric]['streaming']['rate']:.2%}"
                    for metric in ("cer", "wer")
                ]
                yield f"  streaming   {method}: {', '.join(rates)}"
    except (AttributeError, KeyError, TypeError, ValueError):
        yield "  measured    in a form this version does not know: see --json"
