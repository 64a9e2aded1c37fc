"""The first stages of a build: from the model that the user brings to an optimized graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asrpack.frontends.recognised import Recognised
from asrpack.pipeline.node import Input, Node, Output, Source
from asrpack.recipe.model_source import Model, OnnxModel, PaddleModel
from asrpack.recipe.schema import Recipe
from asrpack.stages.configure import Configure
from asrpack.stages.convert import Convert
from asrpack.stages.expect import Expect
from asrpack.stages.expect_paddle import ExpectExported
from asrpack.stages.export import Export
from asrpack.stages.import_ import Import
from asrpack.stages.import_onnx import ImportOnnx
from asrpack.stages.import_paddle import ImportExported, ImportProgram
from asrpack.stages.optimize import Optimize
from asrpack.stages.probe import Probe
from asrpack.stages.stage import Stage

MODEL = Output("import", "model.json")
PROBE = Output("probe", "probe.npz")


def to_onnx(
    recipe: Recipe, found: Recognised, probe_set: Source, *, max_seconds: float | None = None
) -> list[Node]:
    """The nodes up to ``optimize``.

    Args:
        found: what the model was recognised as.
        probe_set: speech on which the steps are compared.
        max_seconds: of one recording; None for as long as the model takes.
    """
    model = recipe.model
    source = {"model": model_source(model, found)}
    chunks = {} if recipe.streaming is None else recipe.streaming.model_dump()
    configured = {**recipe.decode.options(), **chunks, "max_seconds": max_seconds}
    shared = [
        node(Configure(), {"description": MODEL}, **configured),
        node(Probe(), {"description": MODEL, "manifest": probe_set}),
    ]
    if isinstance(model, OnnxModel):
        return _onnx(model, source, shared)
    if isinstance(model, PaddleModel):
        if found.family == "paddle_inference":
            return _program(model, source, shared)
        return _exported(source, shared)
    importing = node(
        Import(),
        source,
        checkpoint=model.checkpoint,
        streaming=recipe.streaming is not None,
        right_to_left=recipe.right_to_left,
    )
    return _paddlespeech(importing, shared)


def exported(recipe: Recipe) -> dict[str, Source | Output]:
    """What is built for Paddle Inference: the exported graphs, and what they must give."""
    if isinstance(recipe.model, PaddleModel):
        return {"paddle": Output("import", "paddle"), "cases": Output("expect", "cases.npz")}
    return {"paddle": Output("export", "paddle"), "cases": Output("export", "cases.npz")}


def model_source(model: Model, found: Recognised) -> Source:
    """All that the model is made of."""
    if model.path.is_dir():
        return Source(model.path)
    return Source(model.path, tuple(file for file in found.files if file != model.path))


def _paddlespeech(importing: Node, shared: list[Node]) -> list[Node]:
    compared = {"description": MODEL, "cases": Output("export", "cases.npz")}
    exported = {"description": MODEL, "params": Output("import", "params.npz"), "probe": PROBE}
    return [
        importing,
        *shared,
        node(Export(), exported),
        node(Convert(), {"paddle": Output("export", "paddle"), **compared}),
        node(Optimize(), {"onnx": Output("convert", "onnx"), **compared}),
    ]


def _onnx(model: OnnxModel, source: Mapping[str, Source], shared: list[Node]) -> list[Node]:
    onnx = Output("import", "onnx")
    tokens = {} if model.tokens is None else {"tokens": Source(model.tokens)}
    compared = {"description": MODEL, "cases": Output("expect", "cases.npz")}
    return [
        node(ImportOnnx(), {**source, **tokens}, details=model.details()),
        *shared,
        node(Expect(), {**source, "onnx": onnx, "description": MODEL, "probe": PROBE}),
        node(Optimize(), {"onnx": onnx, **compared}),
    ]


def _exported(source: Mapping[str, Source], shared: list[Node]) -> list[Node]:
    paddle = Output("import", "paddle")
    compared = {"description": MODEL, "cases": Output("expect", "cases.npz")}
    return [
        node(ImportExported(), source),
        *shared,
        node(ExpectExported(), {"paddle": paddle, "description": MODEL, "probe": PROBE}),
        node(Convert(), {"paddle": paddle, **compared}),
        node(Optimize(), {"onnx": Output("convert", "onnx"), **compared}),
    ]


def _program(model: PaddleModel, source: Mapping[str, Source], shared: list[Node]) -> list[Node]:
    onnx, paddle = Output("import", "onnx"), Output("import", "paddle")
    tokens = {} if model.tokens is None else {"tokens": Source(model.tokens)}
    compared = {"description": MODEL, "cases": Output("expect", "cases.npz")}
    importing = node(
        ImportProgram(), {**source, **tokens}, program=model.program, details=model.details()
    )
    expected = {"model": paddle, "onnx": onnx, "description": MODEL, "probe": PROBE}
    return [
        importing,
        *shared,
        node(Expect(), expected),
        node(Optimize(), {"onnx": onnx, **compared}),
    ]


def node(stage: Stage, inputs: Mapping[str, Input], **options: Any) -> Node:
    """A stage in its place. Options that the recipe leaves out (None) have its own defaults."""
    given = {name: value for name, value in options.items() if value is not None}
    return Node(stage, stage.Params.model_validate(given), inputs)
