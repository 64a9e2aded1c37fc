"""Writes the graphs in the precision that ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from onnx import ModelProto


KEPT = "kept_fp32.json"
Kept = dict[str, Any]


class QuantizeParams(stage.Params):
    """``precision`` as the recipe gives it.

    Attributes:
        method: int8 only; int4 is weight_only.
        block_size: of weight_only, numbers that share a step.
        exclude: int8 and int4. Shell patterns of the names of nodes or weights that stay floats;
            they replace the default (None), which is the layers that make the outputs: the CTC
            projection and the decoder's last one. An empty tuple quantizes everything.
        half: fp16 only. ``storage`` for CPUs, computed with in fp32; ``arithmetic`` for GPUs.
    """

    precision: Literal["fp32", "fp16", "int8", "int4", "auto"] = "int8"
    method: Literal["dynamic", "weight_only"] = "dynamic"
    block_size: Literal[32, 64, 128, 256] = 128
    exclude: tuple[str, ...] | None = None
    half: Literal["storage", "arithmetic"] = "storage"

    @property
    def weight_only(self) -> bool:
        """Whether weights alone are integers."""
        return self.precision == "int4" or self.method == "weight_only"


class Quantize(Stage):
    """``onnx/``: the same graphs in another precision. Same bytes for the same input.

    ``kept_fp32.json``: what fp16 does not hold and so stays fp32, a list of ``graph``, ``tensor``
    (a weight or a node's output), ``largest`` (its greatest magnitude; null for a weight that is
    only stored) and ``nodes`` (which compute in fp32 for its sake).
    """

    name: ClassVar[str] = "quantize"
    revision: ClassVar[int] = 4
    outputs: ClassVar[tuple[str, ...]] = ("onnx", KEPT)
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = QuantizeParams

    def run(
        self, params: QuantizeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``onnx``, the folder of optimized graphs.

        For ``auto`` ``search``, too; for arithmetic in fp16 ``cases``.

        Raises:
            InputError: a pattern of ``exclude`` names nothing.
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
            case "int8" | "int4" if params.weight_only:
                kept = _blocks(source, folder, params)
            case "int8" | "int4":
                kept = quantize_folder(source, folder, _excluded(source, params.exclude))
            case "auto":
                found = json.loads(inputs["search"].read_bytes())
                kept = quantize_folder(source, folder, kept_layers(found))
        (out / KEPT).write_text(json.dumps(kept, indent=1) + "\n")


def quantize_folder(
    source: Path, folder: Path, floats: Mapping[str, Collection[str]]
) -> list[Kept]:
    """Writes the graphs of ``source`` in dynamic int8.

    Args:
        floats: by graph, the weights or nodes that stay floats.

    Returns:
        What fp16 does not hold.
    """
    from asrpack.graph.quantization.dynamic import scales, to_int8
    from asrpack.graph.quantization.half_storage import store_half
    from asrpack.graph.quantization.layers import quantizable

    kept: list[Kept] = []
    for name, model in read_graphs(source).items():
        names = floats.get(Path(name).stem, ())
        excluded = {
            node.name for node in quantizable(model) if node.name in names or node.input[1] in names
        }
        label = _label(model)
        result = to_int8(model, excluded)
        kept += _stored(name, store_half(result, leave=scales(result)))
        _save(result, label, folder / name)
    return kept


def _blocks(source: Path, folder: Path, params: QuantizeParams) -> list[Kept]:
    from asrpack.graph.quantization.weight_only import to_blocks

    kept: list[Kept] = []
    bits = 4 if params.precision == "int4" else 8
    excluded = _excluded(source, params.exclude)
    for name, model in read_graphs(source).items():
        label = _label(model)
        floats = excluded[Path(name).stem]
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


def weight_names(models: Iterable[ModelProto]) -> list[str]:
    """Of the layers that can be quantized."""
    from asrpack.graph.quantization.layers import quantizable

    return [node.input[1] for model in models for node in quantizable(model)]


def _label(model: ModelProto) -> dict[str, str]:
    """What a graph says of itself."""
    return {item.key: item.value for item in model.metadata_props} | {"": model.producer_name}


def _save(model: ModelProto, label: Mapping[str, str], path: Path) -> None:
    """Without the traces that the tools leave of themselves."""
    from asrpack.graph.files import save_proto

    model.producer_name, model.producer_version = label[""], ""
    del model.metadata_props[:]
    for key, value in label.items():
        if key:
            model.metadata_props.add(key=key, value=value)
    save_proto(model, path)


def _excluded(source: Path, patterns: tuple[str, ...] | None) -> dict[str, set[str]]:
    """Names of the nodes that stay fp32, by graph."""
    from asrpack.graph.quantization.layers import matching, output_layers

    models = read_graphs(source)
    if patterns is None:
        return {Path(name).stem: output_layers(model) for name, model in models.items()}
    found = {Path(name).stem: matching(model, patterns) for name, model in models.items()}
    for pattern in patterns:
        if not any(by_pattern[pattern] for by_pattern in found.values()):
            raise unmatched(pattern, weight_names(models.values()))
    return {name: set().union(*by_pattern.values()) for name, by_pattern in found.items()}


def unmatched(pattern: str, weights: Sequence[str]) -> InputError:
    """The refusal of a pattern that matches none of these."""
    return InputError(
        f"the pattern {pattern!r} of `exclude` names no layer that can be quantized",
        code="exclude-unmatched",
        place="quantize",
        remedy=f"use the names of weights, such as {', '.join(weights[:3])}",
    )
