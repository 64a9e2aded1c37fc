"""Writes the graphs in the precision that ships."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

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

    precision: Literal["fp32", "fp16", "int8"] = "int8"
    exclude: tuple[str, ...] | None = None


class Quantize(Stage):
    """``onnx/``: the same graphs in fp32, fp16 or int8. Same bytes for the same input."""

    name: ClassVar[str] = "quantize"
    outputs: ClassVar[tuple[str, ...]] = ("onnx",)
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = QuantizeParams

    def run(
        self, params: QuantizeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``onnx``, the folder of optimized graphs.

        Raises:
            InputError: a pattern of ``exclude`` names nothing.
        """
        folder = out / "onnx"
        folder.mkdir()
        paths = sorted(inputs["onnx"].glob("*.onnx"))
        if params.precision == "fp32":
            for path in paths:
                shutil.copyfile(path, folder / path.name)
            return

        import onnx

        from asrpack.graph import quantize
        from asrpack.graph.files import save_proto

        models = {path.name: onnx.load(str(path)) for path in paths}
        excluded = _excluded(models, params.exclude) if params.precision == "int8" else {}
        for done, (name, model) in enumerate(models.items()):
            context.progress(done, len(models), name)
            metadata = list(model.metadata_props)
            if params.precision == "int8":
                result = quantize.to_int8(model, excluded[name])
            else:
                result = quantize.to_fp16(model)
            # The tools leave traces of their own.
            result.producer_name, result.producer_version = model.producer_name, ""
            del result.metadata_props[:]
            result.metadata_props.extend(metadata)
            save_proto(result, folder / name)


def _excluded(
    models: Mapping[str, ModelProto], patterns: tuple[str, ...] | None
) -> dict[str, set[str]]:
    """Names of the nodes that stay fp32, by graph."""
    from asrpack.graph import quantize

    if patterns is None:
        return {name: quantize.output_layers(model) for name, model in models.items()}
    found = {name: quantize.matching(model, patterns) for name, model in models.items()}
    for pattern in patterns:
        if not any(by_pattern[pattern] for by_pattern in found.values()):
            weights = [
                node.input[1] for model in models.values() for node in quantize.quantizable(model)
            ]
            raise unmatched(pattern, weights)
    return {name: set().union(*by_pattern.values()) for name, by_pattern in found.items()}


def unmatched(pattern: str, weights: Sequence[str]) -> InputError:
    """The refusal of a pattern that matches none of these."""
    return InputError(
        f"the pattern {pattern!r} of `exclude` names no layer that can be quantized",
        code="exclude-unmatched",
        place="quantize",
        remedy=f"use the names of weights, such as {', '.join(weights[:3])}",
    )
