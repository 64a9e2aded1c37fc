"""The stages between the optimized graphs and those in a build's precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrpack.pipeline.compose_source import MODEL, exported, node
from asrpack.pipeline.node import Input, Node, Output, Source
from asrpack.recipe.quantize import PADDLESLIM_OBSERVERS
from asrpack.recipe.schema import Build, Recipe
from asrpack.stages.calibrate import Calibrate
from asrpack.stages.quantize import Quantize
from asrpack.stages.quantize_paddle import QuantizePaddle
from asrpack.stages.search import Search
from asrpack.stages.smooth import Smooth

CONFIGURED = Output("configure", "model.json")
OPTIMIZED = Output("optimize", "onnx")
DEFAULT_OBSERVER = "minmax"


@dataclass(frozen=True)
class Quantized:
    """What a build's quantization is made of.

    Attributes:
        original: the fp32 graphs that were quantized.
        calibration: says on what ranges were measured, where any were.
    """

    nodes: list[Node]
    original: Output
    calibration: Output | None


def quantization(
    recipe: Recipe, build: str, before: Sequence[Node], calibration: Source | None
) -> Quantized:
    """The stages of one build.

    Args:
        before: the nodes up to ``optimize``.
        calibration: the recipe's set; the check has seen to it where one is needed.
    """
    variant = recipe.builds[build]
    if variant.target == "paddle_inference":
        return _paddle(recipe, variant)
    if variant.precision == "auto":
        assert calibration is not None  # the recipe's own validator
        return _auto(recipe, variant, before[-1], calibration)
    wanted = variant.quantize
    nodes, original, set_used = [], OPTIMIZED, None
    data: dict[str, Input] = {"description": CONFIGURED}
    if calibration is not None:
        data["manifest"] = calibration
    cases = before[-1].inputs["cases"]
    if wanted.smooth is not None:
        nodes.append(
            node(Smooth(), {"onnx": OPTIMIZED, "cases": cases, **data}, alpha=wanted.smooth)
        )
        original, set_used = Output("smooth", "onnx"), Output("smooth", "calibration.json")
    inputs: dict[str, Input] = {"onnx": original}
    if wanted.method == "static":
        nodes.append(_calibrate(recipe, build, {"onnx": original, **data}))
        set_used = inputs["calibration"] = Output("calibrate", "calibration.json")
    options = wanted.options() | {"precision": variant.graph_precision}
    if variant.graph_precision == "fp16" and variant.on_gpu:
        # A GPU computes in fp16, which not every activation fits.
        inputs["cases"] = cases
        options["half"] = "arithmetic"
    nodes.append(node(Quantize(), inputs, **options))
    return Quantized(nodes, original, set_used)


def _paddle(recipe: Recipe, variant: Build) -> Quantized:
    graphs = exported(recipe)
    options = variant.quantize.options() | {"precision": variant.precision}
    stage = node(QuantizePaddle(), {**graphs, "description": MODEL}, **options)
    original = graphs["paddle"]
    assert isinstance(original, Output)
    return Quantized([stage], original, None)


def _auto(recipe: Recipe, variant: Build, optimize: Node, calibration: Source) -> Quantized:
    rate, model = recipe.gate.error_rate, recipe.decode.language_model
    assert rate is not None  # the recipe's own validator
    inputs: dict[str, Input] = {
        "onnx": OPTIMIZED,
        "cases": optimize.inputs["cases"],
        "description": CONFIGURED,
        "manifest": calibration,
    }
    if model is not None:
        inputs["language_model"] = Source(model.path)
    search = node(
        Search(),
        inputs,
        metric=rate.metric,
        max_increase=rate.max_increase,
        seconds=variant.search and variant.search.seconds,
        exclude=variant.quantize.exclude,
    )
    found = {"onnx": OPTIMIZED, "search": Output("search", "search.json")}
    return Quantized([search, node(Quantize(), found, precision="auto")], OPTIMIZED, None)


def _calibrate(recipe: Recipe, build: str, inputs: dict[str, Input]) -> Node:
    wanted = recipe.builds[build].quantize
    observer = wanted.observer or DEFAULT_OBSERVER
    if observer in PADDLESLIM_OBSERVERS:
        inputs["params"] = Output("import", "params.npz")
        if wanted.smooth is not None:
            inputs["factors"] = Output("smooth", "factors.npz")
    return node(
        Calibrate(),
        inputs,
        observer=observer,
        percentile=wanted.percentile,
        attention="attention" in (wanted.operators or ()),
    )
