"""Evaluates the file that ships, on the runtime that ships it, against fp32 and PaddleSpeech."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

FORMAT = 1


class EvaluateParams(stage.Params):
    """``methods`` are run besides the bundle's default; the gate looks at the default."""

    methods: tuple[str, ...] = ()
    threads: int = 0


class Evaluate(Stage):
    """``evaluation.json``: error rates, changes, size, and timings under their own key.

    Where the model streams, each method has ``streaming``, too: the candidate heard piece by
    piece, against the candidate on whole recordings.
    """

    name: ClassVar[str] = "evaluate"
    outputs: ClassVar[tuple[str, ...]] = ("evaluation.json",)
    tools: ClassVar[tuple[str, ...]] = ("onnxruntime", "numpy", "soundfile", "soxr", "jiwer")
    isolated: ClassVar[bool] = True
    timeout: ClassVar[float] = 6 * 3600.0
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
        from asrpack.measure.host import describe_host

        description = ModelDescription.read(inputs["description"])
        decode = description.decode
        methods = tuple(dict.fromkeys((decode.method, *params.methods)))
        models = {
            role: load_recognizer(
                description, inputs[role], params.threads, inputs.get("language_model")
            )
            for role in ("baseline", "candidate")
        }
        samples = read_samples(
            models["baseline"],
            inputs["manifest"],
            lambda done, total: context.progress(done, total, "features"),
        )
        texts = {}
        for role, recognizer in models.items():
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
            "host": describe_host() | {"threads": params.threads},
            **time_pair(
                models["baseline"],
                models["candidate"],
                samples,
                decode.method,
                lambda done: context.progress(done, 0, "timing"),
            ),
        }
        (out / "evaluation.json").write_text(
            json.dumps(result, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
        )


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
