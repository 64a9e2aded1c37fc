"""The stages between the optimized graphs and those in a build's precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrpack.pipeline.compose_source import node
from asrpack.pipeline.node import Node, Output, Source
from asrpack.recipe.quantize import PADDLESLIM_OBSERVERS
from asrpack.recipe.schema import Recipe
from asrpack.stages.calibrate import Calibrate
from asrpack.stages.quantize import Quantize
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
    wanted = variant.quantize
    nodes, original, set_used = [], OPTIMIZED, None
    data: dict[str, Source | Output] = {"description": CONFIGURED}
    if calibration is not None:
        data["manifest"] = calibration
    if wanted.smooth is not None:
        cases = before[-1].inputs["cases"]
        nodes.append(
            node(Smooth(), {"onnx": OPTIMIZED, "cases": cases, **data}, alpha=wanted.smooth)
        )
        original, set_used = Output("smooth", "onnx"), Output("smooth", "calibration.json")
    inputs = {"onnx": original}
    if wanted.method == "static":
        nodes.append(_calibrate(recipe, build, {"onnx": original, **data}))
        set_used = inputs["calibration"] = Output("calibrate", "calibration.json")
    nodes.append(node(Quantize(), inputs, precision=variant.precision, **wanted.options()))
    return Quantized(nodes, original, set_used)


def _calibrate(recipe: Recipe, build: str, inputs: dict[str, Source | Output]) -> Node:
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
