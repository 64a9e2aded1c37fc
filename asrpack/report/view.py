"""From a build's results to the report's tables: rows of text, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asrpack.report.facts import target_name
from asrpack.report.numbers import count, megabytes, percent, points, seconds, times
from asrpack.report.results import Results

UNITS = {"cer": "CER", "wer": "WER"}
_GATED = {
    "utterances": count,
    "rate": percent,
    "points": points,
    "ratio": percent,
    "factor": times,
    "bytes": megabytes,
    "seconds": seconds,
}


@dataclass(frozen=True)
class Figure:
    """One line of the table of figures; ``change`` is the candidate's against fp32's."""

    name: str
    baseline: str
    candidate: str
    change: str
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """One check of the gate."""

    ok: bool
    name: str
    measured: str
    limit: str
    reason: str


@dataclass(frozen=True)
class Rate:
    """Errors of one model by one method, in one unit. ``increase`` is empty for fp32's."""

    model: str
    rate: str
    substitutions: str
    deletions: str
    insertions: str
    increase: str = ""
    interval: str = ""


@dataclass(frozen=True)
class Rates:
    """One table: CER or WER by one method; ``length`` is that of the references."""

    unit: str
    length: str
    rows: tuple[Rate, ...]


@dataclass(frozen=True)
class Method:
    """One decoding method. ``paddlespeech`` says how many texts are its own; may be empty."""

    name: str
    default: bool
    rates: tuple[Rates, ...]
    paddlespeech: str


def candidate_name(results: Results) -> str:
    """What the report calls the model that was built."""
    precision: str = results.lock["recipe"]["precision"]
    return precision if precision != "fp32" else "this build"


def summary(results: Results) -> str:
    """One sentence: what it is."""
    recipe, size = results.lock["recipe"], results.evaluation["size"]
    return (
        f"{recipe['precision']} for {target_name(results)}, "
        f"{megabytes(size['bytes']['candidate'])}, "
        f"measured on {count(results.evaluation['set']['utterances'])} utterances "
        f"against the fp32 model in the same run"
    )


def verdicts(results: Results) -> list[Verdict]:
    """The gate's checks, those that were not met first."""
    rows = []
    for check in results.gate["checks"]:
        write = _GATED[check["unit"]]
        word = {"<=": "at most", ">=": "at least"}[check["relation"]]
        # A limit as it was written: 0.3 % and not 0.30 %.
        limit = check["limit"] * 100 if write in (percent, points) else check["limit"]
        plain = f"{limit:g}\N{NO-BREAK SPACE}%" if write in (percent, points) else write(limit)
        rows.append(
            Verdict(
                check["ok"],
                _titled(check["name"]),
                write(check["measured"]),
                f"{word} {plain}",
                check["reason"][:1].upper() + check["reason"][1:],
            )
        )
    return sorted(rows, key=lambda row: row.ok)


def _titled(name: str) -> str:
    """``cer increase`` is CER increase, ``size ratio`` Size ratio."""
    first, *rest = name.split(" ")
    return " ".join([UNITS.get(first, first.capitalize()), *rest])


def figures(results: Results) -> Iterator[Figure]:
    """Size, speed, memory and cold start."""
    size, timing = results.evaluation["size"], results.evaluation["timing"]
    yield Figure(
        "Size of the model",
        megabytes(size["bytes"]["baseline"]),
        megabytes(size["bytes"]["candidate"]),
        percent(size["ratio"], 1),
    )
    least, greatest = timing["speedup_range"]
    yield Figure(
        "Real-time factor",
        f"{timing['baseline_rtf']:.4f}",
        f"{timing['candidate_rtf']:.4f}",
        times(timing["speedup"]),
        f"speed {times(least)} to {times(greatest)} in its {timing['rounds']} rounds",
    )
    if memory := results.evaluation.get("memory"):
        for name, phase in (("loading", "loading"), ("running", "running")):
            yield Figure(
                f"Peak memory, {name}",
                megabytes(memory["baseline"][phase]["peak"]),
                megabytes(memory["candidate"][phase]["peak"]),
                percent(memory["candidate"][phase]["peak"] / memory["baseline"][phase]["peak"], 1),
                f"above the bare runtime: {megabytes(memory['baseline'][phase]['model'])} and "
                f"{megabytes(memory['candidate'][phase]['model'])}",
            )
    if start := results.evaluation.get("cold_start"):
        least, greatest = start["candidate"]["range"]
        yield Figure(
            "Cold start to first text",
            seconds(start["baseline"]["seconds"]),
            seconds(start["candidate"]["seconds"]),
            percent(start["candidate"]["seconds"] / start["baseline"]["seconds"], 1),
            f"{candidate_name(results)}: {seconds(least)} to {seconds(greatest)} in "
            f"{start['rounds']} starts",
        )


def method_names(results: Results) -> list[str]:
    """What was measured, the default first: that is what the gate looks at."""
    default = results.evaluation["decode"]["method"]
    return sorted(results.evaluation["methods"], key=lambda name: (name != default, name))


def methods(results: Results) -> Iterator[Method]:
    """Error rates by method, in the order of :func:`method_names`."""
    for name in method_names(results):
        found = results.evaluation["methods"][name]
        yield Method(
            name,
            name == results.evaluation["decode"]["method"],
            tuple(_rates(results, found, unit) for unit in UNITS),
            "; ".join(_parity(results, name)),
        )


def _rates(results: Results, found: Mapping[str, Any], unit: str) -> Rates:
    rows = [
        _rate("fp32", found[unit]["baseline"]),
        _rate(candidate_name(results), found[unit]["candidate"], found[unit]),
    ]
    if streaming := found.get("streaming"):
        name = f"{candidate_name(results)}, streamed"
        rows.append(_rate(name, streaming[unit]["streaming"], streaming[unit]))
    return Rates(UNITS[unit], count(found[unit]["baseline"]["length"]), tuple(rows))


def _rate(name: str, edits: Mapping[str, Any], against: Mapping[str, Any] | None = None) -> Rate:
    substitutions, deletions, insertions = (
        count(edits[kind]) for kind in ("substitutions", "deletions", "insertions")
    )
    increase = interval = ""
    if against is not None:
        increase = points(against["increase"])
        low, high = (points(value) for value in against["increase_interval_95"])
        interval = f"{low} to {high}"
    return Rate(
        name, percent(edits["rate"]), substitutions, deletions, insertions, increase, interval
    )


def _parity(results: Results, method: str) -> Iterator[str]:
    """PaddleSpeech may lack a method, and its own text is asked for by few recipes."""
    oracle = results.evaluation.get("paddlespeech", {})
    total = count(results.evaluation["set"]["utterances"])
    for role, name in (("baseline", "fp32"), ("candidate", candidate_name(results))):
        if same := oracle.get(role, {}).get(method):
            version = oracle["versions"]["paddlespeech"]
            yield (
                f"{name}: {count(same['identical'])} of {total} texts are those of "
                f"PaddleSpeech {version}"
            )
