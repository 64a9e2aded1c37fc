"""Writes the graphs in the precision that ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asrpack.stages import stage
from asrpack.stages.layer_choice import chosen_layers
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from onnx import ModelProto

KEPT = "kept_fp32.json"
Kept = dict[str, Any]

# By method, where the recipe does not say.
DEFAULT_OPERATORS = {
    "dynamic": ("matmul", "conv"),
    "static": ("matmul", "conv"),
    "weight_only": ("matmul",),
}


class QuantizeParams(stage.Params):
    """``precision`` as the recipe gives it.

    Attributes:
        method: int8 only; int4 is weight_only. ``static`` takes the ranges of activations from
            the calibrate stage.
        block_size: of weight_only, numbers that share a step.
        operators: of int8 and int4, kinds of nodes, see
            :func:`asrpack.graph.quantization.operators.operator_kinds`; None for
            :data:`DEFAULT_OPERATORS`.
        include: shell patterns of the names of nodes or weights; nothing else is quantized.
        exclude: likewise, of what stays floats.
        cpu: what the integers' types are chosen for; ``avx2`` gives weights of 7 bits, ``arm64``
            int8 activations.
        half: fp16 only. ``storage`` for CPUs, computed with in fp32; ``arithmetic`` for GPUs.
    """

    precision: Literal["fp32", "fp16", "int8", "int4", "auto"] = "int8"
    method: Literal["dynamic", "static", "weight_only"] = "dynamic"
    block_size: Literal[32, 64, 128, 256] = 128
    operators: tuple[str, ...] | None = None
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    cpu: Literal["any", "vnni", "avx2", "arm64"] = "any"
    half: Literal["storage", "arithmetic"] = "storage"

    @property
    def how(self) -> str:
        """The method, int4's too."""
        return "weight_only" if self.precision == "int4" else self.method

    def layers(self, models: Mapping[str, ModelProto]) -> dict[str, set[str]]:
        """Names of the nodes to quantize, by graph's file."""
        operators = self.operators or DEFAULT_OPERATORS[self.how]
        return chosen_layers(models, operators, self.include, self.exclude)


class Quantize(Stage):
    """``onnx/``: the same graphs in another precision. Same bytes for the same input.

    ``kept_fp32.json``: what fp16 does not hold and so stays fp32, a list of ``graph``, ``tensor``
    (a weight or a node's output), ``largest`` (its greatest magnitude; null for a weight that is
    only stored) and ``nodes`` (which compute in fp32 for its sake).
    """

    name: ClassVar[str] = "quantize"
    revision: ClassVar[int] = 5
    outputs: ClassVar[tuple[str, ...]] = ("onnx", KEPT)
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = QuantizeParams

    def run(
        self, params: QuantizeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``onnx``, the folder of fp32 graphs.

        For static int8 ``calibration`` too, for ``auto`` ``search``, for arithmetic in fp16
        ``cases``.

        Raises:
            InputError: a pattern of ``include`` or ``exclude`` names nothing.
        """
        folder = out / "onnx"
        folder.mkdir()
        source = inputs["onnx"]
        kept: list[Kept] = []
        match params.precision:
            case "fp32":
                for path in source.glob("*.onnx"):
                    shutil.copyfile(path, folder / path.name)
            case "fp16" if params.half == "arithmetic":
                kept = _half_arithmetic(source, folder, inputs["cases"])
            case "fp16":
                kept = _half_storage(source, folder)
            case "auto":
                found = json.loads(inputs["search"].read_bytes())
                kept = quantize_folder(source, folder, kept_layers(found))
            case _ if params.how == "weight_only":
                kept = _blocks(source, folder, params)
            case _ if params.how == "static":
                ranges = json.loads(inputs["calibration"].read_bytes())["ranges"]
                kept = _static(source, folder, params, ranges)
            case _:
                kept = _dynamic(source, folder, params)
        (out / KEPT).write_text(json.dumps(kept, indent=1) + "\n")


def quantize_folder(
    source: Path, folder: Path, floats: Mapping[str, Collection[str]]
) -> list[Kept]:
    """Writes the graphs of ``source`` in dynamic int8.

    Args:
        floats: by graph, the weights that stay floats.

    Returns:
        What fp16 does not hold.
    """
    from asrpack.graph.quantization.dynamic import to_int8
    from asrpack.graph.quantization.layers import quantizable

    kept: list[Kept] = []
    for name, model in read_graphs(source).items():
        names = floats.get(Path(name).stem, ())
        excluded = {node.name for node in quantizable(model) if node.input[1] in names}
        label = _label(model)
        kept += _save_int8(to_int8(model, excluded), label, folder / name)
    return kept


def kept_layers(search: Mapping[str, Any]) -> dict[str, set[str]]:
    """From ``search.json``: by graph the weights that stay fp32."""
    kept: dict[str, set[str]] = {}
    for layer in search["layers"]:
        if layer["precision"] == "fp32":
            kept.setdefault(layer["graph"], set()).add(layer["name"])
    return kept


def read_graphs(folder: Path) -> dict[str, ModelProto]:
    """The graphs of a folder by file name, in order."""
    import onnx

    return {path.name: onnx.load(str(path)) for path in sorted(folder.glob("*.onnx"))}


def _dynamic(source: Path, folder: Path, params: QuantizeParams) -> list[Kept]:
    from asrpack.graph.quantization.dynamic import to_int8
    from asrpack.graph.quantization.layers import quantizable

    kept: list[Kept] = []
    models = read_graphs(source)
    chosen = params.layers(models)
    for name, model in models.items():
        excluded = {node.name for node in quantizable(model)} - chosen[name]
        label = _label(model) | _bits(params)
        result = to_int8(model, excluded, reduced=params.cpu == "avx2")
        kept += _save_int8(result, label, folder / name)
    return kept


def _static(
    source: Path,
    folder: Path,
    params: QuantizeParams,
    ranges: Mapping[str, Mapping[str, tuple[float, float]]],
) -> list[Kept]:
    from asrpack.graph.quantization.dynamic import to_int8
    from asrpack.graph.quantization.layers import quantizable
    from asrpack.graph.quantization.static import Int8Types, to_static_int8

    kept: list[Kept] = []
    models = read_graphs(source)
    chosen = params.layers(models)
    types = Int8Types(signed=params.cpu == "arm64", reduced=params.cpu == "avx2")
    for name, model in models.items():
        label = _label(model) | _bits(params)
        result = to_static_int8(model, chosen[name], ranges[Path(name).stem], types)
        if any(node.op_type == "LSTM" for node in result.graph.node):  # they are always dynamic
            products = {node.name for node in quantizable(result)}
            result = to_int8(result, products, reduced=types.reduced)
        kept += _save_int8(result, label, folder / name)
    return kept


def _blocks(source: Path, folder: Path, params: QuantizeParams) -> list[Kept]:
    from asrpack.graph.quantization.layers import quantizable
    from asrpack.graph.quantization.weight_only import to_blocks

    kept: list[Kept] = []
    bits = 4 if params.precision == "int4" else 8
    models = read_graphs(source)
    chosen = params.layers(models)
    for name, model in models.items():
        label = _label(model)
        floats = {node.name for node in quantizable(model)} - chosen[name]
        kept += _stored(name, to_blocks(model, floats, bits, params.block_size))
        _save(model, label, folder / name)
    return kept


def _half_storage(source: Path, folder: Path) -> list[Kept]:
    from asrpack.graph.quantization.half_storage import store_half

    kept: list[Kept] = []
    for name, model in read_graphs(source).items():
        label = _label(model)
        kept += _stored(name, store_half(model))
        _save(model, label, folder / name)
    return kept


def _half_arithmetic(source: Path, folder: Path, cases: Path) -> list[Kept]:
    from asrpack.graph.quantization.half import to_fp16
    from asrpack.graph.quantization.overflow import out_of_range
    from asrpack.measure.cases import load_cases

    kept: list[Kept] = []
    calls = load_cases(cases)
    for name, model in read_graphs(source).items():
        label, graph = _label(model), Path(name).stem
        found = out_of_range(model, [case.feed for case in calls if case.graph == graph])
        fp32 = dict.fromkeys(node for item in found for node in item.nodes)
        kept += [{"graph": graph, **asdict(item)} for item in found]
        _save(to_fp16(model, fp32), label, folder / name)
    return kept


def _stored(name: str, tensors: Sequence[str]) -> list[Kept]:
    graph = Path(name).stem
    return [{"graph": graph, "tensor": item, "largest": None, "nodes": []} for item in tensors]


def _label(model: ModelProto) -> dict[str, str]:
    """What a graph says of itself."""
    return {item.key: item.value for item in model.metadata_props} | {"": model.producer_name}


def _bits(params: QuantizeParams) -> dict[str, str]:
    from asrpack.runtime.engines.onnxruntime import SEVEN_BITS

    return {SEVEN_BITS: "true"} if params.cpu == "avx2" else {}


def _save_int8(model: ModelProto, label: Mapping[str, str], path: Path) -> list[Kept]:
    """With what is left of floats in fp16."""
    from asrpack.graph.quantization.dynamic import scales
    from asrpack.graph.quantization.half_storage import store_half

    kept = _stored(path.name, store_half(model, leave=scales(model)))
    _save(model, label, path)
    return kept


def _save(model: ModelProto, label: Mapping[str, str], path: Path) -> None:
    """Without the traces that the tools leave of themselves."""
    from asrpack.graph.files import save_proto

    model.producer_name, model.producer_version = label[""], ""
    del model.metadata_props[:]
    for key, value in label.items():
        if key:
            model.metadata_props.add(key=key, value=value)
    save_proto(model, path)
