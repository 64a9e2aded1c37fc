"""Writes the graphs in the precision that ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
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

    precision: Literal["fp32", "fp16", "int8", "int4"] = "int8"
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
    revision: ClassVar[int] = 3
    outputs: ClassVar[tuple[str, ...]] = ("onnx", KEPT)
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime", "numpy")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = QuantizeParams

    def run(
        self, params: QuantizeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``onnx``, the folder of optimized graphs, and for arithmetic in fp16 ``cases``.

        Raises:
            InputError: a pattern of ``exclude`` names nothing.
        """
        folder = out / "onnx"
        folder.mkdir()
        paths = sorted(inputs["onnx"].glob("*.onnx"))
        if params.precision == "fp32":
            for path in paths:
                shutil.copyfile(path, folder / path.name)
            _write_kept(out, [])
            return

        import onnx

        from asrpack.graph.files import save_proto
        from asrpack.graph.quantization.dynamic import to_int8
        from asrpack.graph.quantization.half_storage import store_half
        from asrpack.graph.quantization.weight_only import to_blocks

        models = {path.name: onnx.load(str(path)) for path in paths}
        integers = params.precision in ("int8", "int4")
        excluded = _excluded(models, params.exclude) if integers else {}
        kept: list[Kept] = []
        for done, (name, model) in enumerate(models.items()):
            context.progress(done, len(models), name)
            metadata, producer = list(model.metadata_props), model.producer_name
            if params.precision == "fp16" and params.half == "arithmetic":
                model, found = _half_arithmetic(model, Path(name).stem, inputs["cases"])
                kept += found
            elif params.precision == "fp16":
                kept += _stored(name, store_half(model))
            elif params.weight_only:
                bits = 4 if params.precision == "int4" else 8
                kept += _stored(name, to_blocks(model, excluded[name], bits, params.block_size))
            else:
                model = to_int8(model, excluded[name])
            # The tools leave traces of their own.
            model.producer_name, model.producer_version = producer, ""
            del model.metadata_props[:]
            model.metadata_props.extend(metadata)
            save_proto(model, folder / name)
        _write_kept(out, kept)


def _write_kept(out: Path, kept: Sequence[Kept]) -> None:
    (out / KEPT).write_text(json.dumps(list(kept), indent=1) + "\n")


def _stored(name: str, tensors: Sequence[str]) -> list[Kept]:
    graph = Path(name).stem
    return [{"graph": graph, "tensor": item, "largest": None, "nodes": []} for item in tensors]


def _half_arithmetic(model: ModelProto, graph: str, cases: Path) -> tuple[ModelProto, list[Kept]]:
    from asrpack.graph.quantization.half import to_fp16
    from asrpack.graph.quantization.overflow import out_of_range
    from asrpack.measure.cases import load_cases

    feeds = [case.feed for case in load_cases(cases) if case.graph == graph]
    found = out_of_range(model, feeds)
    fp32 = dict.fromkeys(node for item in found for node in item.nodes)
    return to_fp16(model, fp32), [{"graph": graph, **asdict(item)} for item in found]


def _excluded(
    models: Mapping[str, ModelProto], patterns: tuple[str, ...] | None
) -> dict[str, set[str]]:
    """Names of the nodes that stay floats, by graph."""
    from asrpack.graph.quantization import layers

    if patterns is None:
        return {name: layers.output_layers(model) for name, model in models.items()}
    found = {name: layers.matching(model, patterns) for name, model in models.items()}
    for pattern in patterns:
        if not any(by_pattern[pattern] for by_pattern in found.values()):
            weights = [
                node.input[1] for model in models.values() for node in layers.quantizable(model)
            ]
            raise InputError(
                f"the pattern {pattern!r} of `exclude` names no layer that can be quantized",
                code="exclude-unmatched",
                place="quantize",
                remedy=f"use the names of weights, such as {', '.join(weights[:3])}",
            )
    return {name: set().union(*by_pattern.values()) for name, by_pattern in found.items()}
