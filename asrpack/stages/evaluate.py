"""Evaluates the file that ships, on the runtime that ships it, against fp32 and PaddleSpeech."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from asrpack.bundle.metadata import utc
from asrpack.bundle.model import ModelDescription
from asrpack.bundle.provider import CPU, ProviderSpec, TensorrtOptions
from asrpack.errors import ToolchainError
from asrpack.stages import stage
from asrpack.stages.provider import read_provider
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from asrpack.measure.evaluation import Sample
    from asrpack.measure.footprint import Job
    from asrpack.runtime.providers import Provider

FORMAT = 1
FOOTPRINT_UTTERANCES = 8
FOOTPRINTS = ("memory", "cold_start")


class EvaluateParams(stage.Params):
    """``methods`` are run besides the bundle's default; the gate looks at the default.

    Attributes:
        target: what runs the candidate. The baseline is fp32 on ONNX Runtime always, so that all
            builds of a model are compared with the same.
        measured_on: the provider, where the build is for a GPU: its own, or the CPU's.
    """

    methods: tuple[str, ...] = ()
    threads: int = 0
    target: str = "onnxruntime"
    measured_on: str | None = None


class Evaluate(Stage):
    """``evaluation.json``: error rates, changes and size; what no two runs agree on under
    ``timing``, ``memory`` and ``cold_start``, the latter two on Linux only.

    Where the model streams, each method has ``streaming``, too: the candidate heard piece by
    piece, against the candidate on whole recordings.

    Of a known evaluation of another candidate, on such a host, the baseline's texts, memory and
    cold start are taken. Its speed is measured anew: the two alternate, so that a busy machine
    slows down both.
    """

    name: ClassVar[str] = "evaluate"
    revision: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, ...]] = ("evaluation.json",)
    tools: ClassVar[tuple[str, ...]] = (
        "onnxruntime",
        "paddlepaddle",
        "numpy",
        "soundfile",
        "soxr",
        "jiwer",
    )
    isolated: ClassVar[bool] = True
    timeout: ClassVar[float] = 6 * 3600.0
    fresh: ClassVar[str] = "times and memory are measured anew"
    measured: ClassVar[str | None] = r"(timing|memory|cold_start)\..+"
    Params: ClassVar[type[stage.Params]] = EvaluateParams

    def run(
        self, params: EvaluateParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        from asrpack.measure.evaluation import (
            compare_texts,
            load_recognizer,
            read_samples,
            stream_all,
            time_pair,
            transcribe_all,
        )
        from asrpack.measure.footprint import measure_footprints, measures_memory
        from asrpack.runtime.host import describe_host

        description = ModelDescription.read(inputs["description"])
        decode = description.decode
        methods = tuple(dict.fromkeys((decode.method, *params.methods)))
        providers = _providers(read_provider(inputs), params.measured_on)
        targets = {"baseline": "onnxruntime", "candidate": params.target}
        models = {
            role: load_recognizer(
                description,
                inputs[role],
                params.threads,
                inputs.get("language_model"),
                targets[role],
                provider,
            )
            for role, provider in providers.items()
        }
        host = describe_host() | {
            "threads": params.threads,
            "paddlepaddle": version("paddlepaddle"),
        }
        known = _known(context.known, host)
        samples = read_samples(
            models["baseline"],
            inputs["manifest"],
            lambda done, total: context.progress(done, total, "features"),
        )
        texts = {}
        if known is not None:
            texts["baseline"] = {item["utt"]: item["baseline"] for item in known["utterances"]}
        for role, recognizer in models.items():
            if role in texts:
                continue
            count = lambda done, role=role: context.progress(done, len(samples), role)  # noqa: E731
            texts[role] = transcribe_all(recognizer, samples, methods, count)
        result: dict[str, Any] = {
            "format": FORMAT,
            "set": {"utterances": len(samples), "audio_seconds": sum(s.seconds for s in samples)},
            "decode": asdict(decode),
            "methods": {
                method: compare_texts(samples, texts["baseline"], texts["candidate"], method)
                for method in methods
            },
            "size": _sizes(inputs),
            "targets": targets,
            "utterances": [
                {
                    "utt": s.utt,
                    "reference": s.text,
                    "baseline": texts["baseline"][s.utt],
                    "candidate": texts["candidate"][s.utt],
                }
                for s in samples
            ],
        }
        if (spec := read_provider(inputs)) is not None:
            on = {"target": spec.target, "measured_on": models["candidate"].provider}
            result["provider"] = on
        if description.streaming is not None:
            streamed = stream_all(
                models["candidate"],
                inputs["manifest"],
                methods,
                lambda done: context.progress(done, len(samples), "streaming"),
            )
            for method in methods:
                result["methods"][method]["streaming"] = compare_texts(
                    samples, texts["candidate"], streamed, method, ("whole", "streaming")
                )
            for entry in result["utterances"]:
                entry["streaming"] = streamed[entry["utt"]]
        if "calibration" in inputs:
            result["calibration"] = json.loads(inputs["calibration"].read_bytes())["set"]
        if "reference" in inputs:
            oracle = json.loads(inputs["reference"].read_bytes())
            result["paddlespeech"] = {
                "versions": oracle["versions"],
                **_against(oracle["utterances"], texts),
            }
        result["timing"] = {
            "measured": utc(int(time.time())),
            "host": host,
            **time_pair(
                models["baseline"],
                models["candidate"],
                samples,
                decode.method,
                lambda done: context.progress(done, 0, "timing"),
            ),
        }
        # The children that are measured have the CPU's provider alone.
        if measures_memory() and providers["candidate"] is None:
            jobs = _jobs(params, inputs, samples, decode.method, targets)
            before = {} if known is None else {n: known[n] for n in FOOTPRINTS if n in known}
            if before:
                del jobs["baseline"]
            found = measure_footprints(
                jobs, lambda done: context.progress(done, 0, "memory and cold start")
            )
            result |= {name: before.get(name, {}) | found[name] for name in found}
        (out / "evaluation.json").write_text(
            json.dumps(result, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        )


def _known(path: Path | None, host: Mapping[str, Any]) -> dict[str, Any] | None:
    """A known evaluation; None where it was made on another host."""
    if path is None:
        return None
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found if found["timing"]["host"] == host else None


def _jobs(
    params: EvaluateParams,
    inputs: Mapping[str, Path],
    samples: Sequence[Sample],
    method: str,
    targets: Mapping[str, str],
) -> dict[str, Job]:
    """The same recordings for both models: one of middling length first, then a spread."""
    from asrpack.measure.evaluation import spread
    from asrpack.measure.footprint import Job
    from asrpack.recipe.manifest import read_manifest

    chosen = spread(samples, FOOTPRINT_UTTERANCES)
    chosen.insert(0, chosen.pop(len(chosen) // 2))
    audio = {utterance.id: utterance.audio for utterance in read_manifest(inputs["manifest"])}
    return {
        role: Job(
            inputs["description"],
            inputs[role],
            tuple(audio[sample.utt] for sample in chosen),
            method,
            params.threads,
            inputs.get("language_model"),
            targets[role],
        )
        for role in ("baseline", "candidate")
    }


def _providers(spec: ProviderSpec | None, measured_on: str | None) -> dict[str, Provider | None]:
    """What runs the two models; None for the CPU.

    The baseline computes in fp32 where the candidate halves.
    """
    if spec is None or (spec.fallback and measured_on == CPU):
        return {"baseline": None, "candidate": None}
    from asrpack.runtime.provider_probe import choose

    full = spec
    if isinstance(spec.options, TensorrtOptions):
        full = replace(spec, options=replace(spec.options, fp16=False))
    # What works here by now may not be what the plan was made for.
    chosen = {"baseline": choose(full, "evaluate"), "candidate": choose(spec, "evaluate")}
    if None in chosen.values():
        raise ToolchainError(
            f"{measured_on} worked when the build was planned, and does no more",
            code="provider-missing",
            place="evaluate",
            remedy="build again",
        )
    return chosen


def _sizes(inputs: Mapping[str, Path]) -> dict[str, Any]:
    sizes = {
        role: {item.name: item.stat().st_size for item in sorted(inputs[role].iterdir())}
        for role in ("baseline", "candidate")
    }
    total = {role: sum(files.values()) for role, files in sizes.items()}
    return {**sizes, "ratio": total["candidate"] / total["baseline"], "bytes": total}


def _against(oracle: Mapping[str, Mapping[str, str]], texts: Mapping[str, Any]) -> dict[str, Any]:
    """Utterances whose text differs from PaddleSpeech's own, by model and method."""
    return {
        role: {
            method: {
                "identical": sum(oracle[u][method] == ours[u][method] for u in ours),
                "different": [u for u in ours if oracle[u][method] != ours[u][method]],
            }
            # PaddleSpeech may lack some: its DeepSpeech2 needs a package of its own to search.
            for method in next(iter(oracle.values()))
        }
        for role, ours in texts.items()
    }
