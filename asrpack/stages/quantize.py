"""Writes the graphs in the precision that ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from onnx import ModelProto


class QuantizeParams(stage.Params):
    """``precision`` as the recipe gives it.

    Attributes:
        exclude: int8 only. Shell patterns of the names of nodes or weights that stay fp32; they
            replace the default (None), which is the layers that make the outputs: the CTC
            projection and the decoder's last one. An empty tuple quantizes everything.
    """

    precision: Literal["fp32", "fp16", "int8", "auto"] = "int8"
    exclude: tuple[str, ...] | None = None


class Quantize(Stage):
    """``onnx/``: the same graphs in fp32, fp16 or int8. Same bytes for the same input."""

    name: ClassVar[str] = "quantize"
    revision: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, ...]] = ("onnx",)
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = QuantizeParams

    def run(
        self, params: QuantizeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``onnx``, the folder of optimized graphs; for ``auto``, ``search`` too.

        Raises:
            InputError: a pattern of ``exclude`` names nothing.
        """
        folder = out / "onnx"
        folder.mkdir()
        source = inputs["onnx"]
        match params.precision:
            case "fp32":
                for path in source.glob("*.onnx"):
                    shutil.copyfile(path, folder / path.name)
            case "fp16":
                from asrpack.graph.quantization.half import to_fp16

                for name, model in read_graphs(source).items():
                    _save(to_fp16(model), model, folder / name)
            case "int8":
                quantize_folder(source, folder, _excluded(source, params.exclude))
            case "auto":
                found = json.loads(inputs["search"].read_bytes())
                quantize_folder(source, folder, kept_layers(found))


def quantize_folder(source: Path, folder: Path, kept: Mapping[str, Collection[str]]) -> None:
    """Writes the graphs of ``source`` in dynamic int8.

    Args:
        kept: by graph, the weights or nodes that stay fp32.
    """
    from asrpack.graph.quantization.dynamic import to_int8
    from asrpack.graph.quantization.layers import quantizable

    for name, model in read_graphs(source).items():
        names = kept.get(Path(name).stem, ())
        excluded = {
            node.name for node in quantizable(model) if node.name in names or node.input[1] in names
        }
        _save(to_int8(model, excluded), model, folder / name)


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


def unmatched(pattern: str, models: Iterable[ModelProto]) -> InputError:
    """The error of a pattern that names no layer."""
    from asrpack.graph.quantization.layers import quantizable

    weights = [node.input[1] for model in models for node in quantizable(model)]
    return InputError(
        f"the pattern {pattern!r} of `exclude` names no layer that can be quantized",
        code="exclude-unmatched",
        place="quantize",
        remedy=f"use the names of weights, such as {', '.join(weights[:3])}",
    )


def _save(result: ModelProto, model: ModelProto, path: Path) -> None:
    """Without the traces that the tools leave of themselves."""
    from asrpack.graph.files import save_proto

    metadata = [(item.key, item.value) for item in model.metadata_props]
    result.producer_name, result.producer_version = model.producer_name, ""
    del result.metadata_props[:]
    for key, value in metadata:
        result.metadata_props.add(key=key, value=value)
    save_proto(result, path)


def _excluded(source: Path, patterns: tuple[str, ...] | None) -> dict[str, set[str]]:
    """Names of the nodes that stay fp32, by graph."""
    from asrpack.graph.quantization.layers import matching, output_layers

    models = read_graphs(source)
    if patterns is None:
        return {Path(name).stem: output_layers(model) for name, model in models.items()}
    found = {Path(name).stem: matching(model, patterns) for name, model in models.items()}
    for pattern in patterns:
        if not any(by_pattern[pattern] for by_pattern in found.values()):
            raise unmatched(pattern, models.values())
    return {name: set().union(*by_pattern.values()) for name, by_pattern in found.items()}
