"""Finds which layers of a model can be int8 within a bound of the error: ``precision: auto``."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from asrpack.bundle.model import ModelDescription
from asrpack.stages import stage
from asrpack.stages.journal import Journal
from asrpack.stages.layer_choice import named_layers
from asrpack.stages.quantize import quantize_folder, read_graphs
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from onnx import ModelProto

    from asrpack.graph.quantization.switched import Layer
    from asrpack.measure.evaluation import Sample, Texts
    from asrpack.measure.precision_search import Found, LayerId, Measured
    from asrpack.runtime.recognizer import Recognizer

FORMAT = 1
# Of the time budget, what ranking the layers may take.
_RANKING = 0.5
# Enough for a ratio of speeds; the build measures the one that ships on more.
_TIMED = 8


class SearchParams(stage.Params):
    """The bound and the budget.

    Attributes:
        metric: ``cer`` or ``wer``.
        max_increase: of the error rate on the calibration set over fp32's, absolute; the upper
            end of the increase's 95 % interval is held against it.
        seconds: after which the best found so far is taken. A measurement that has begun ends.
        exclude: shell patterns of layers that stay fp32 whatever the search finds.
    """

    metric: Literal["cer", "wer"] = "cer"
    max_increase: float = Field(ge=0)
    seconds: float = Field(default=900.0, gt=0)
    exclude: tuple[str, ...] = ()


class Search(Stage):
    """``search.json``: every layer with its sensitivity and precision, every candidate tried.

    Inputs: ``onnx`` (optimized graphs), ``cases``, ``description``, ``manifest`` (the calibration
    set), perhaps ``language_model``. A search that was killed goes on with what it had measured.
    """

    name: ClassVar[str] = "search"
    outputs: ClassVar[tuple[str, ...]] = ("search.json",)
    tools: ClassVar[tuple[str, ...]] = (
        *("jiwer", "numpy", "onnx", "onnx-ir", "onnxruntime", "soundfile", "soxr"),
    )
    isolated: ClassVar[bool] = True
    resumes: ClassVar[bool] = True
    timeout: ClassVar[float] = 24 * 3600.0
    fresh: ClassVar[str] = "speed is measured anew"
    measured: ClassVar[str | None] = r"candidates\.\d+\.speedup"
    Params: ClassVar[type[stage.Params]] = SearchParams

    def run(
        self, params: SearchParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Ranks the layers, searches, and tells.

        Raises:
            InputError: a pattern of ``exclude`` names nothing; a recording cannot be read.
        """
        from asrpack.measure.precision_search import search

        began = time.monotonic()
        journal = Journal(None if context.scratch is None else context.scratch / "search.jsonl")
        models = {Path(name).stem: model for name, model in read_graphs(inputs["onnx"]).items()}
        layers = _layers(models)
        forced = _forced(models, layers, params.exclude)
        limit = began + _RANKING * params.seconds
        sensitivity = _rank(models, inputs["cases"], layers, journal, context, limit)
        # What there was no time for counts as harmless: it would be tried last.
        ranked = sorted(layers, key=lambda item: -sensitivity.get(item, 0.0))
        trial = _Trial(params, inputs, journal, context)
        found = search(
            ranked,
            forced,
            params.max_increase,
            trial.measure,
            lambda: time.monotonic() - began + trial.slowest < params.seconds,
        )
        result = {
            "format": FORMAT,
            "metric": params.metric,
            "budget": {"max_increase": params.max_increase, "seconds": params.seconds},
            "set": trial.set,
            "fp32": trial.fp32,
            "stopped": found.stopped,
            "layers": [
                {
                    "graph": graph,
                    "name": weight,
                    "kind": layer.kind,
                    "weights": layer.size,
                    "sensitivity": sensitivity.get((graph, weight)),
                    "precision": "fp32" if (graph, weight) in found.chosen.kept else "int8",
                }
                for (graph, weight), layer in layers.items()
            ],
            "candidates": list(_candidates(found, layers)),
        }
        (out / "search.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def _layers(models: Mapping[str, ModelProto]) -> dict[LayerId, Layer]:
    from asrpack.graph.quantization.switched import layers

    return {
        (graph, layer.weight): layer for graph, model in models.items() for layer in layers(model)
    }


def _forced(
    models: Mapping[str, ModelProto], layers: Mapping[LayerId, Layer], patterns: tuple[str, ...]
) -> frozenset[LayerId]:
    nodes: dict[str, list[str]] = {graph: [] for graph in models}
    for (graph, _), layer in layers.items():
        nodes[graph].append(layer.node)
    found = named_layers(models, nodes, "exclude", patterns)
    return frozenset(
        identity for identity, layer in layers.items() if layer.node in found[identity[0]]
    )


def _rank(
    models: Mapping[str, ModelProto],
    cases_path: Path,
    layers: Mapping[LayerId, Layer],
    journal: Journal,
    context: Context,
    limit: float,
) -> dict[LayerId, float]:
    """Sensitivity of each layer, as far as there is time for. Changes ``models``."""
    from asrpack.graph.quantization.switched import SWITCHES, switched
    from asrpack.measure.cases import load_cases
    from asrpack.measure.layer_sensitivity import plain_cases, sensitivities

    known: dict[LayerId, float] = {}
    cases = load_cases(cases_path)
    for graph, model in models.items():
        own = [identity for identity in layers if identity[0] == graph]
        labels = ["/".join(("sensitivity", *identity)) for identity in own]
        values: Iterator[float] | None = None
        for identity, label in zip(own, labels, strict=True):
            if label not in journal:
                if time.monotonic() > limit:
                    break
                if values is None:
                    todo = [label not in journal for label in labels]
                    values = sensitivities(
                        switched(model).SerializeToString(),
                        SWITCHES,
                        todo,
                        plain_cases(cases, graph),
                    )
                journal.record(label, next(values))
            known[identity] = journal[label]
            context.progress(len(known), len(layers), f"sensitivity of {identity[1]}")
    return known


@dataclass
class _Set:
    """The calibration set under fp32."""

    baseline: Recognizer
    samples: list[Sample]
    texts: Texts


class _Trial:
    """Builds configurations and measures them on the calibration set."""

    def __init__(
        self,
        params: SearchParams,
        inputs: Mapping[str, Path],
        journal: Journal,
        context: Context,
    ) -> None:
        self.params = params
        self.inputs = inputs
        self.journal = journal
        self.context = context
        self.description = ModelDescription.read(inputs["description"])
        self.method = self.description.decode.method
        self.count = 0
        self.slowest = 0.0
        self._set: _Set | None = None

    def load(self) -> _Set:
        """Reads and transcribes the set once; a search that only goes on may not need to."""
        from asrpack.measure.evaluation import read_samples, transcribe_all

        if self._set is None:
            baseline = self._recognizer(self.inputs["onnx"])
            samples = read_samples(baseline, self.inputs["manifest"], self._progress("features"))
            texts = transcribe_all(
                baseline,
                samples,
                (self.method,),
                lambda done: self.context.progress(done, len(samples), "fp32"),
            )
            self._set = _Set(baseline, samples, texts)
        return self._set

    @property
    def set(self) -> dict[str, Any]:
        """What was measured on."""
        if "set" not in self.journal:
            samples = self.load().samples
            seconds = sum(sample.seconds for sample in samples)
            self.journal.record("set", {"utterances": len(samples), "audio_seconds": seconds})
        return dict(self.journal["set"])

    @property
    def fp32(self) -> dict[str, Any]:
        """The model as it was trained, on the set."""
        from asrpack.measure.evaluation import compare_texts

        if "fp32" not in self.journal:
            loaded = self.load()
            same = compare_texts(loaded.samples, loaded.texts, loaded.texts, self.method)
            edits = same[self.params.metric]["baseline"]
            self.journal.record("fp32", {"bytes": _size(self.inputs["onnx"]), **_errors(edits)})
        return dict(self.journal["fp32"])

    def measure(self, kept: frozenset[LayerId]) -> Measured:
        """Error, size and speed with these layers in fp32."""
        from asrpack.measure.precision_search import Measured

        self.count += 1
        label = "candidate/" + json.dumps(sorted(kept))
        if label not in self.journal:
            began = time.monotonic()
            self.journal.record(label, asdict(self._run(kept)))
            self.slowest = max(self.slowest, time.monotonic() - began)
        return Measured(**self.journal[label])

    def _run(self, kept: frozenset[LayerId]) -> Measured:
        from asrpack.measure.evaluation import (
            compare_texts,
            spread,
            time_pair,
            transcribe_all,
        )
        from asrpack.measure.precision_search import Measured

        loaded = self.load()
        name = f"candidate {self.count}, {len(kept)} layers fp32"
        by_graph: dict[str, set[str]] = {}
        for graph, weight in kept:
            by_graph.setdefault(graph, set()).add(weight)
        with tempfile.TemporaryDirectory(prefix="asrpack-") as temporary:
            folder = Path(temporary)
            self.context.progress(0, 0, name)
            quantize_folder(self.inputs["onnx"], folder, by_graph)
            size = _size(folder)
            candidate = self._recognizer(folder)
        samples = loaded.samples
        texts = transcribe_all(
            candidate,
            samples,
            (self.method,),
            lambda done: self.context.progress(done, len(samples), name),
        )
        compared = compare_texts(samples, loaded.texts, texts, self.method)
        timing = time_pair(
            loaded.baseline, candidate, spread(samples, _TIMED), self.method, lambda done: None
        )
        edits = compared[self.params.metric]
        return Measured(
            bytes=size,
            size_ratio=size / _size(self.inputs["onnx"]),
            speedup=timing["speedup"],
            increase=edits["increase"],
            increase_bound=edits["increase_interval_95"][1],
            emptied=len(compared["emptied"]),
            **_errors(edits["candidate"]),
        )

    def _recognizer(self, folder: Path) -> Recognizer:
        from asrpack.measure.evaluation import load_recognizer

        return load_recognizer(
            self.description, folder, language_model=self.inputs.get("language_model")
        )

    def _progress(self, text: str) -> Any:
        return lambda done, total: self.context.progress(done, total, text)


def _errors(edits: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "error_rate": edits["rate"],
        **{name: edits[name] for name in ("substitutions", "deletions", "insertions")},
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.onnx"))


def _candidates(found: Found, layers: Mapping[LayerId, Layer]) -> Iterator[dict[str, Any]]:
    for candidate in found.candidates:
        count = len(candidate.kept)
        name = "int8" if not count else "fp32" if count == len(layers) else f"{count} in fp32"
        yield {
            "name": name,
            "float_layers": count,
            "chosen": candidate is found.chosen,
            **asdict(candidate.measured),
        }
