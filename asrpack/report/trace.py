"""The report of ``asrpack trace``, for whoever has to judge what it says: HTML or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asrpack.report.facts import Fact
from asrpack.report.html import html_templates
from asrpack.report.numbers import MINUS, count
from asrpack.report.visible import visible

_LEAST_P = 1e-300
_PLAIN_FACTORS = (0.9, 1.1)
_MARKUP = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>|#"})


@dataclass(frozen=True)
class Row:
    """One customer of the table; ``bound`` is p where a sentence says "at most"."""

    customer: str
    z: str
    p: str
    bound: str
    named: bool


@dataclass(frozen=True)
class Matrix:
    """One matrix that was compared."""

    name: str
    tensor: str
    shape: str
    correlation: str
    change: str


def render_trace(record: Mapping[str, Any], *, markdown: bool = False) -> str:
    """The document, self-contained.

    Args:
        record: as :func:`asrpack.trace.investigate.investigate` gives it.
    """
    templates = html_templates()
    name = "trace.html.j2"
    if markdown:
        name = "trace.md.j2"
        templates = templates.overlay(
            autoescape=False, finalize=lambda value: visible(value).translate(_MARKUP)
        )
    return templates.get_template(name).render(_values(record)) + "\n"


def probability(p: float) -> str:
    """A probability as people write it: 1.3e-12; one below what can be told is bounded."""
    if p < _LEAST_P:
        return f"< {_LEAST_P:.0e}"
    return f"{p:.2g}" if p >= 1e-3 else f"{p:.1e}"


def score(z: float) -> str:
    """A score with one digit, large ones without."""
    text = f"{z:.1f}" if abs(z) < 100 else f"{z:.0f}"
    return text.replace("-", MINUS if text.strip("-0.") else "")


def _values(record: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        Row(
            item["customer"],
            score(item["z"]),
            probability(item["p"]),
            probability(max(item["p"], _LEAST_P)),
            item["verdict"] == "named",
        )
        for item in record["results"]
    ]
    controls, method = record["controls"], record["method"]
    return {
        "created": record["created"],
        "rows": rows,
        "named": [row for row in rows if row.named],
        "threshold": f"{method['threshold']:g}",
        "controls": {
            "count": controls["count"],
            "mean": score(controls["mean"]),
            "deviation": f"{controls['deviation']:.2f}",
            "greatest": f"{controls['greatest']:.2f}",
        },
        "suspect": record["suspect"]["place"],
        "suspect_facts": list(_suspect(record)),
        "original_facts": list(_original(record)),
        "matrices": [_matrix(item) for item in record["matrices"]],
        "missing": record["missing"],
        "weights": count(method["weights"]),
        "share": f"{method['weights'] / record['original']['weights']:.0%}",
        "in_place": f"{method['in_place']:g}",
        "aligned": f"{method['aligned']:g}",
        "tools": record["tools"],
    }


def _suspect(record: Mapping[str, Any]) -> Iterator[Fact]:
    suspect = record["suspect"]
    yield Fact("What it is", suspect["kind"], suspect["sha256"])
    yield Fact("Matrices in it", count(suspect["matrices"]))
    if suspect["not_finite"]:
        yield Fact("Not finite", f"{count(suspect['not_finite'])} numbers, which count as pruned")
    if suspect["commitment"] is not None:
        same = suspect["commitment"] == record["original"]["commitment"]
        text = "of this key and this original" if same else "of another key or another original"
        yield Fact("Its metadata commits to a mark", text, suspect["commitment"])


def _original(record: Mapping[str, Any]) -> Iterator[Fact]:
    original = record["original"]
    for name, digest in original["digests"].items():
        yield Fact("Unmarked original", name, digest)
    yield Fact(
        "Its marked matrices", f"{original['matrices']}, {count(original['weights'])} weights"
    )
    yield Fact("Commitment", "to the watermark key", original["key"])
    yield Fact("Commitment", "to that key and these files", original["commitment"])


def _matrix(item: Mapping[str, Any]) -> Matrix:
    rows, columns = item["shape"]
    return Matrix(
        item["name"],
        item["tensor"],
        f"{rows} × {columns}",
        f"{item['correlation']:.3f}",
        ", ".join(_changes(item)) or "none",
    )


def _changes(item: Mapping[str, Any]) -> Iterator[str]:
    if item["transposed"]:
        yield "transposed"
    if item["moved"]:
        yield f"{item['moved']} rows and columns moved"
    if item["flipped"]:
        yield f"{item['flipped']} signs of rows and columns turned"
    least, greatest = item["factors"]
    if least < _PLAIN_FACTORS[0] or greatest > _PLAIN_FACTORS[1]:
        yield f"scaled by {least:.3g} to {greatest:.3g}"
