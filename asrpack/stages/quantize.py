"""Writes the graphs in the precision that ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from onnx import ModelProto


# By method. An int8 convolution needs the range of its output, which dynamic has not.
DEFAULT_OPERATORS = {"dynamic": ("matmul",), "static": ("matmul", "conv")}


class QuantizeParams(stage.Params):
    """``precision`` as the recipe gives it; all else is of int8.

    Attributes:
        method: ``static`` takes the ranges of activations from the calibrate stage.
        operators: kinds of nodes, see :func:`asrpack.graph.quantization.operators.operator_kinds`;
            None for :data:`DEFAULT_OPERATORS`.
        include: shell patterns of the names of nodes or weights; nothing else is quantized.
        exclude: likewise, of what stays fp32.
        cpu: what the integers' types are chosen for; ``avx2`` gives weights of 7 bits, ``arm64``
            int8 activations.
    """

    precision: Literal["fp32", "fp16", "int8"] = "int8"
    method: Literal["dynamic", "static"] = "dynamic"
    operators: tuple[str, ...] | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    cpu: Literal["any", "vnni", "avx2", "arm64"] = "any"


class Quantize(Stage):
    """``onnx/``: the same graphs in fp32, fp16 or int8. Same bytes for the same input."""

    name: ClassVar[str] = "quantize"
    outputs: ClassVar[tuple[str, ...]] = ("onnx",)
    revision: ClassVar[int] = 2
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = QuantizeParams

    def run(
        self, params: QuantizeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``onnx``, the folder of fp32 graphs, and for static int8 ``calibration``.

        Raises:
            InputError: a pattern of ``include`` or ``exclude`` names nothing.
        """
        folder = out / "onnx"
        folder.mkdir()
        paths = sorted(inputs["onnx"].glob("*.onnx"))
        if params.precision == "fp32":
            for path in paths:
                shutil.copyfile(path, folder / path.name)
            return

        import onnx

        from asrpack.graph.files import save_proto
        from asrpack.graph.quantization.half import to_fp16
        from asrpack.runtime.session import SEVEN_BITS

        static = params.precision == "int8" and params.method == "static"
        models = {path.name: onnx.load(str(path)) for path in paths}
        chosen = _chosen(models, params) if params.precision == "int8" else {}
        ranges = json.loads(inputs["calibration"].read_bytes())["ranges"] if static else {}
        for done, (name, model) in enumerate(models.items()):
            context.progress(done, len(models), name)
            metadata = list(model.metadata_props)
            if params.precision == "int8":
                result = _int8(model, chosen[name], ranges.get(Path(name).stem), params.cpu)
            else:
                result = to_fp16(model)
            # The tools leave traces of their own.
            result.producer_name, result.producer_version = model.producer_name, ""
            del result.metadata_props[:]
            result.metadata_props.extend(metadata)
            if params.precision == "int8" and params.cpu == "avx2":
                result.metadata_props.add(key=SEVEN_BITS, value="true")
            save_proto(result, folder / name)


def _int8(
    model: ModelProto,
    nodes: set[str],
    ranges: Mapping[str, tuple[float, float]] | None,
    cpu: str,
) -> ModelProto:
    """``ranges`` of activations by name: static. None: dynamic. LSTMs are always dynamic."""
    from asrpack.graph.quantization.dynamic import to_int8
    from asrpack.graph.quantization.static import Int8Types, to_static_int8

    reduced = cpu == "avx2"
    if ranges is not None:
        types = Int8Types(signed=cpu == "arm64", reduced=reduced)
        model, nodes = to_static_int8(model, nodes, ranges, types), set()
        if all(node.op_type != "LSTM" for node in model.graph.node):
            return model
    products = {node.name for node in model.graph.node if node.op_type == "MatMul"}
    return to_int8(model, products - nodes, reduced=reduced)


def _chosen(models: Mapping[str, ModelProto], params: QuantizeParams) -> dict[str, set[str]]:
    """Names of the nodes to quantize, by graph."""
    from asrpack.graph.quantization.layers import matching
    from asrpack.graph.quantization.operators import operator_kinds

    kinds = {name: operator_kinds(model) for name, model in models.items()}
    operators = params.operators or DEFAULT_OPERATORS[params.method]
    named: dict[str, dict[str, set[str]]] = {}
    for option, patterns in (("include", params.include), ("exclude", params.exclude)):
        named[option] = {name: set() for name in models}
        for pattern in patterns or ():
            found = {name: matching(model, kinds[name], pattern) for name, model in models.items()}
            if not any(found.values()):
                raise _unmatched(option, pattern, models)
            for name, nodes in found.items():
                named[option][name] |= nodes
    return {
        name: {
            node
            for node, kind in kinds[name].items()
            if kind in operators
            and (params.include is None or node in named["include"][name])
            and node not in named["exclude"][name]
        }
        for name in models
    }


def _unmatched(option: str, pattern: str, models: Mapping[str, ModelProto]) -> InputError:
    from asrpack.graph.quantization.layers import quantizable

    weights = [node.input[1] for model in models.values() for node in quantizable(model)]
    return InputError(
        f"the pattern {pattern!r} of `{option}` names no layer that can be quantized",
        code=f"{option}-unmatched",
        place="quantize",
        remedy=f"use the names of weights, such as {', '.join(weights[:3])}",
    )
