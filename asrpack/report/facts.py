"""What went into a build, where it was measured and by which tools: the report's lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asrpack.report.numbers import count
from asrpack.report.results import Results

_TARGETS = {"onnxruntime": "ONNX Runtime"}


@dataclass(frozen=True)
class Fact:
    """One line of what went in; ``digest`` is a SHA-256, or empty."""

    name: str
    value: str
    digest: str = ""


def target_name(results: Results) -> str:
    """What runs the model, as its makers call it."""
    target: str = results.lock["recipe"]["target"]
    return _TARGETS.get(target, target)


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
        ("tokens", "Units"),
        ("language_model", "Language model"),
    ):
        if source := brought.get(name):
            text = ": ".join(filter(None, (source["name"], said.get(name))))
            yield Fact(title, text, source["sha256"])
    yield Fact("Target", target_name(results))
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
