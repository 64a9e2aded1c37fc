"""What an automatic search tried: its candidates for the plots, its layers for a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asrpack.report.facts import Fact
from asrpack.report.numbers import count, megabytes, percent, points, times
from asrpack.report.pareto import Candidate
from asrpack.report.results import Results
from asrpack.report.view import UNITS, candidate_name

_STOPPED = {
    "met": "it found one within its budget",
    "time": "its time was up",
    "exhausted": "nothing was left to try",
}


@dataclass(frozen=True)
class Row:
    """One candidate in the table."""

    name: str
    chosen: bool
    float_layers: str
    size: str
    ratio: str
    speedup: str
    rate: str
    increase: str
    edits: str


@dataclass(frozen=True)
class Layer:
    """One layer: the divergence (nats) that rounding it alone causes, and what it became."""

    graph: str
    name: str
    kind: str
    weights: str
    sensitivity: str
    precision: str


def candidates(results: Results) -> tuple[list[Candidate], str, float | None]:
    """What is plotted, the unit of its error, and the highest error that was allowed.

    Without a search: fp32 and what was built.
    """
    search, evaluation = results.search, results.evaluation
    if search is None or not search["candidates"]:
        metric = results.lock["stages"]["gate"]["components"]["params"]["metric"]
        rates = evaluation["methods"][evaluation["decode"]["method"]][metric]
        return (
            [
                Candidate("fp32", 1.0, 1.0, rates["baseline"]["rate"], "baseline"),
                Candidate(
                    candidate_name(results),
                    evaluation["size"]["ratio"],
                    evaluation["timing"]["speedup"],
                    rates["candidate"]["rate"],
                    "chosen",
                ),
            ],
            UNITS[metric],
            None,
        )
    tried = search["candidates"]
    before = tried[0]["error_rate"] - tried[0]["increase"]
    found = [Candidate("fp32", 1.0, 1.0, before, "baseline")]
    found += [
        Candidate(
            item["name"],
            item["size_ratio"],
            item["speedup"],
            item["error_rate"],
            "chosen" if item["chosen"] else "other",
        )
        for item in tried
    ]
    return found, UNITS[search["metric"]], before + search["budget"]["max_increase"]


def facts(search: Mapping[str, Any]) -> Iterator[Fact]:
    """How it was made."""
    budget, data = search["budget"], search["set"]
    yield Fact(
        "Budget",
        f"at most {points(budget['max_increase'])} {UNITS[search['metric']]}, "
        f"{count(budget['seconds'])} s",
    )
    yield Fact("Stopped", f"{_STOPPED[search['stopped']]}; candidates: {len(search['candidates'])}")
    yield Fact(
        "Searched on",
        f"{count(data['utterances'])} utterances, {data['audio_seconds']:.0f} s of audio",
    )


def rows(search: Mapping[str, Any]) -> list[Row]:
    """The candidates as they were tried."""
    return [
        Row(
            item["name"],
            item["chosen"],
            count(item["float_layers"]),
            megabytes(item["bytes"]),
            percent(item["size_ratio"], 1),
            times(item["speedup"]),
            percent(item["error_rate"]),
            f"{points(item['increase'])}, at most {points(item['increase_bound'])}",
            " / ".join(count(item[k]) for k in ("substitutions", "deletions", "insertions")),
        )
        for item in search["candidates"]
    ]


def layers(search: Mapping[str, Any]) -> list[Layer]:
    """The layers, the most sensitive first."""
    ordered = sorted(search["layers"], key=lambda layer: -(layer["sensitivity"] or 0.0))
    return [
        Layer(
            layer["graph"],
            layer["name"],
            layer["kind"],
            count(layer["weights"]),
            "–" if layer["sensitivity"] is None else f"{layer['sensitivity']:.1e}",
            layer["precision"],
        )
        for layer in ordered
    ]
