"""From a build's results to what the report shows: rows of text, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asrpack.report.numbers import count, megabytes, percent, points, seconds, times
from asrpack.report.results import Results

UNITS = {"cer": "CER", "wer": "WER"}
_TARGETS = {"onnxruntime": "ONNX Runtime"}
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


@dataclass(frozen=True)
class Fact:
    """One line of what went in; ``digest`` is a SHA-256, or empty."""

    name: str
    value: str
    digest: str = ""


def candidate_name(results: Results) -> str:
    """What the report calls the model that was built."""
    precision: str = results.lock["recipe"]["precision"]
    return precision if precision != "fp32" else "this build"


def summary(results: Results) -> str:
    """One sentence: what it is."""
    recipe, size = results.lock["recipe"], results.evaluation["size"]
    return (
        f"{recipe['precision']} for {_TARGETS.get(recipe['target'], recipe['target'])}, "
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


def inputs(results: Results) -> Iterator[Fact]:
    """What went in, with digests."""
    lock, data = results.lock, results.evaluation["set"]
    recipe, model, brought = lock["recipe"], lock["model"], lock["sources"]
    yield Fact("Recipe", f"{recipe['name']} {recipe['version']}, build {recipe['build']}")
    yield Fact("Recipe file", recipe["file"], recipe["sha256"])
    for text in recipe["overrides"]:
        yield Fact("Override", text)
    yield Fact("Model", brought["model"]["name"], brought["model"]["sha256"])
    yield Fact(
        "Model family",
        f"{model['family']}, {count(model['sample_rate'])} Hz, "
        f"{count(model['vocabulary_size'])} units"
        + (f", streams in chunks of {model['chunk_size']} frames" if model["chunk_size"] else ""),
    )
    minutes = f"{data['audio_seconds'] / 60:.1f} minutes"
    said = {
        "test": f"{count(data['utterances'])} utterances, {minutes}",
        "calibration": f"{brought.get('calibration', {}).get('recordings')} utterances",
    }
    for name, title in (
        ("test", "Test set"),
        ("calibration", "Calibration set"),
        ("language_model", "Language model"),
    ):
        if source := brought.get(name):
            text = ": ".join(filter(None, (source["name"], said.get(name))))
            yield Fact(title, text, source["sha256"])
    yield Fact("Target", _TARGETS.get(recipe["target"], recipe["target"]))
    yield Fact("Precision", recipe["precision"])
    for stage in ("quantize", "watermark"):
        if stage in lock["stages"]:
            yield Fact(stage.capitalize(), _options(lock["stages"][stage]["components"]["params"]))
    decode = results.evaluation["decode"]
    yield Fact("Decoding", _options(decode))


def _options(params: Mapping[str, Any]) -> str:
    given = [
        f"{name} {_text(value)}"
        for name, value in sorted(params.items())
        if value not in (None, [], {}, "")
    ]
    return ", ".join(given) or "nothing to choose"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return f"({_options(value)})"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def host(results: Results) -> Iterator[Fact]:
    """The machine that the figures are of."""
    timing = results.evaluation["timing"]
    machine = timing["host"]
    yield Fact("Measured", timing["measured"])
    cpu = ", ".join(filter(None, (machine.get("cpu"), machine["machine"])))
    yield Fact("CPU", f"{cpu}, {machine['cores']} logical cores")
    yield Fact("CPU features for int8", ", ".join(machine["int8_features"]) or "none known")
    yield Fact("Threads", str(machine["threads"] or "one for each core"))
    yield Fact("System", f"{machine['system']}, Python {machine['python']}")
    yield Fact(
        "Timed on",
        f"{count(timing['utterances'])} utterances, {timing['audio_seconds']:.0f} s of audio, "
        f"by {timing['method']}",
    )


def tools(results: Results) -> list[Fact]:
    """Versions of all that took part, asrpack first."""
    recipe = results.lock["recipe"]
    found = {
        name: version
        for stage in results.lock["stages"].values()
        for name, version in stage["components"]["tools"].items()
    }
    own = [Fact("asrpack", recipe["asrpack"]), Fact("Python", recipe["python"])]
    return own + [Fact(name, version) for name, version in sorted(found.items())]


def outputs(results: Results) -> list[Fact]:
    """Digests of all that the stages left."""
    return [
        Fact(f"{stage} → {name}", "", digest)
        for stage, record in results.lock["stages"].items()
        for name, digest in sorted(record["outputs"].items())
    ]
