"""``asrpack trace`` and ``asrpack commit``: who leaked this, and what makes that proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from asrpack.cli.options import Identity, Json

_Original = Annotated[
    Path,
    typer.Option(
        metavar="ARTIFACT",
        help="The artifact whose model was marked, or a folder with its unmarked graphs.",
        show_default=False,
    ),
]
_Key = Annotated[
    str,
    typer.Option(
        metavar="MARK_KEY",
        help="The vendor's watermark key: a path, env:NAME or cmd:COMMAND.",
        show_default=False,
    ),
]
_Customers = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Who has a copy: one id a line, or CSV with a column `customer`.",
        show_default=False,
    ),
]
_Registry = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Who has a copy: what `asrpack personalize` kept, registry.sqlite.",
        show_default=False,
    ),
]
_SHOWN = 10


def trace(
    suspect: Annotated[
        Path,
        typer.Argument(
            help="A bundle, an ONNX file, Paddle's parameters (.pdiparams, .pdparams), a raw dump "
            "(.npz, .npy, .safetensors), or a folder of these.",
            show_default=False,
        ),
    ],
    original: _Original,
    key: _Key,
    customers: _Customers = None,
    registry: _Registry = None,
    identity: Identity = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a document: FILE.html or FILE.md.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find out whose copy a model was made from.

    The suspect's matrices are found and aligned by their numbers: they may be renamed, transposed,
    rearranged, scaled, pruned or quantized again, and layers may be missing. Every customer is
    tested; p is corrected for their number. A customer is named from z = 7.

    The exit code is 0 whether somebody is named or not.
    """
    import json

    from asrpack.bundle.keys import watermark_key
    from asrpack.bundle.secrets import SecretSource
    from asrpack.cli.files import check_folder, write_text
    from asrpack.report.trace import render_trace
    from asrpack.trace.investigate import investigate
    from asrpack.trace.original import read_original
    from asrpack.trace.suspect import read_suspect

    markdown = _is_markdown(report)
    if report is not None:
        check_folder(report, code="report-unwritable")
    source = SecretSource.parse(key)
    secret = watermark_key(source.read(), str(source))
    _check_given(customers, registry)
    master = read_original(original)
    names = _names(customers, registry, master.commitment(secret))
    shapes = [(item.shape[0], item.shape[1]) for item in master.matrices.values()]
    found = read_suspect(suspect, shapes, SecretSource.parse(identity) if identity else None)
    record = investigate(found, master, secret, names)
    if report is not None:
        write_text(report, render_trace(record, markdown=markdown), code="report-unwritable")
    if as_json:
        typer.echo(json.dumps(record["results"], ensure_ascii=False))
        return
    for line in _lines(record):
        typer.echo(line)
    if report is not None:
        typer.echo(f"report: {report}")


def commit(
    artifact: Annotated[
        Path,
        typer.Argument(
            help="What a build with a watermark left, or a folder with the unmarked graphs.",
            show_default=False,
        ),
    ],
    key: _Key,
    customers: _Customers = None,
    registry: _Registry = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write it there, as JSON.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make what to have time-stamped before shipping.

    It binds the watermark key, the unmarked original and, with --customers or --registry, who has
    a copy, and gives nothing of them away. Time-stamp the file, e.g. by RFC 3161: `openssl ts
    -query -data FILE -sha256 -cert`. When a copy is traced, key and original open the commitment.
    """
    from asrpack.bundle.keys import watermark_key
    from asrpack.bundle.secrets import SecretSource
    from asrpack.cli.files import write_text
    from asrpack.pipeline.digest import canonical
    from asrpack.trace.original import committed, read_original

    source = SecretSource.parse(key)
    secret = watermark_key(source.read(), str(source))
    master, names = read_original(artifact), None
    if customers is not None or registry is not None:
        _check_given(customers, registry)
        names = _names(customers, registry, master.commitment(secret))
    record = committed(master, secret, names)
    text = canonical(record).decode() + "\n"
    if output is not None:
        write_text(output, text, code="commitment-unwritable")
    if as_json:
        typer.echo(text, nl=False)
        return
    for line in _commitment_lines(record):
        typer.echo(line)
    typer.echo(f"written to {output}: time-stamp that file" if output else "time-stamp it: -o FILE")


def _commitment_lines(record: Mapping[str, Any]) -> Iterator[str]:
    from asrpack.bundle.verify import show

    yield f"commitment  {record['commitment']}"
    yield f"key         {record['key']}"
    for name, digest in record["original"].items():
        yield show(f"original    {digest}  {name}")
    if customers := record.get("customers"):
        yield f"customers   {customers['count']}, {customers['hmac']}"
    else:
        yield "customers   not bound: give --customers or --registry"


def _is_markdown(report: Path | None) -> bool:
    from asrpack.errors import UsageError

    if report is None or report.suffix in (".html", ".md"):
        return report is not None and report.suffix == ".md"
    raise UsageError(
        "a report ends in .html or .md",
        code="report-suffix",
        place=str(report),
        remedy=f"write --report {report.with_suffix('.html')}",
    )


def _check_given(customers: Path | None, registry: Path | None) -> None:
    from asrpack.errors import UsageError

    if (customers is None) == (registry is None):
        raise UsageError(
            "nobody says whose marks to look for" if customers is None else "two lists are given",
            code="customers-missing" if customers is None else "customers-twice",
            place="--customers, --registry",
            remedy="give the list of all that have a copy, or the registry, one of the two",
        )


def _names(customers: Path | None, registry: Path | None, commitment: str) -> list[str]:
    """Whose marks to look for; of a registry, those whose copies have this commitment."""
    from asrpack.protect.registry import Registry
    from asrpack.trace.customers import read_customers

    if customers is not None:
        return read_customers(customers)
    assert registry is not None
    return Registry(registry).customers(commitment)


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    from asrpack.bundle.verify import show
    from asrpack.report.numbers import count
    from asrpack.report.trace import probability, score

    method, controls = record["method"], record["controls"]
    compared = len(record["matrices"])
    yield (
        f"{compared} of {compared + len(record['missing'])} matrices compared, "
        f"{count(method['weights'])} weights; {len(record['results'])} customers tested"
    )
    for change, what in (("moved", "rearranged"), ("transposed", "transposed")):
        if number := sum(item[change] > 0 for item in record["matrices"]):
            yield f"{what}: {number} of them"
    if record["suspect"]["not_finite"]:
        yield f"{count(record['suspect']['not_finite'])} numbers are not finite and do not count"
    yield f"{'z':>8}  {'p':>9}  verdict    customer"
    named = sum(item["verdict"] == "named" for item in record["results"])
    for item in record["results"][: max(_SHOWN, named)]:
        yield (
            f"{score(item['z']):>8}  {probability(item['p']):>9}  {item['verdict']:9}  "
            f"{show(item['customer'])}"
        )
    left = len(record["results"]) - max(_SHOWN, named)
    if left > 0:
        yield f"… and {left} with less"
    yield (
        f"{controls['count']} names of nobody: mean {controls['mean']:.2f}, deviation "
        f"{controls['deviation']:.2f}, greatest {controls['greatest']:.2f}"
    )
    yield f"named from z = {method['threshold']:g}: {named or 'nobody'}"
