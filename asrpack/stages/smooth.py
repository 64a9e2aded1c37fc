"""Moves outliers of activations into weights, before they are quantized."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage


class SmoothParams(stage.Params):
    """``alpha``: how much of the difference between channels the weights take."""

    alpha: float = Field(ge=0, le=1)


class Smooth(Stage):
    """``onnx/``: fp32 graphs of the same function, smoothed on real speech.

    Inputs: ``onnx`` (optimized), ``description`` (configured), ``manifest`` (calibration),
    ``cases``. Also leaves ``factors.npz``: what parameters were multiplied by, by ``GRAPH/NAME``;
    and ``calibration.json``: the set.
    """

    name: ClassVar[str] = "smooth"
    outputs: ClassVar[tuple[str, ...]] = ("onnx", "factors.npz", "calibration.json")
    tools: ClassVar[tuple[str, ...]] = ("numpy", "onnx", "onnxruntime", "soundfile", "soxr")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = SmoothParams

    def run(
        self, params: SmoothParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Smooths, and compares with the network.

        Raises:
            InputError: no activation of the model can be smoothed.
            ToolchainError: the graphs compute something else now.
        """
        import numpy as np
        import onnx

        from asrpack.graph.activations import OpenGraph
        from asrpack.graph.files import save_proto
        from asrpack.graph.smooth import migrations, smooth
        from asrpack.measure.cases import compare_cases, load_cases, onnx_run
        from asrpack.measure.compare import FLOAT32_TOLERANCE, save_arrays
        from asrpack.measure.feeds import run_on_recordings
        from asrpack.measure.sensitivity import own_tolerance
        from asrpack.networks.families import graph_specs
        from asrpack.networks.foreign import FAMILIES

        description = ModelDescription.read(inputs["description"])
        models = {path.stem: onnx.load(str(path)) for path in sorted(inputs["onnx"].glob("*.onnx"))}
        moved = {name: migrations(model) for name, model in models.items()}
        if not any(moved.values()):
            raise InputError(
                "no activation of this model can be smoothed: none is made by a LayerNorm or a "
                "ReLU for matrix products alone",
                code="smooth-nothing",
                place="quantize.smooth",
                remedy="take `smooth` out of the recipe",
            )
        graphs = {
            name: OpenGraph(model, [item.tensor for item in moved[name]], f"{name}.onnx")
            for name, model in models.items()
        }
        largest: dict[str, dict[str, np.ndarray]] = {name: {} for name in models}

        def run(graph: str, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs, tensors = graphs[graph].run(feed)
            for name, values in tensors.items():
                seen = np.abs(values).max(axis=tuple(range(values.ndim - 1)), initial=0)
                largest[graph][name] = np.maximum(largest[graph].get(name, 0), seen)
            return outputs

        calibration = run_on_recordings(
            description, graph_specs(description), inputs["manifest"], run, context.progress
        )
        folder = out / "onnx"
        folder.mkdir()
        factors = {}
        for graph, model in models.items():
            for name, factor in smooth(model, params.alpha, largest[graph]).items():
                factors[f"{graph}/{name}"] = factor
            save_proto(model, folder / f"{graph}.onnx")
        cases = load_cases(inputs["cases"])
        tolerance = FLOAT32_TOLERANCE
        if description.family in FAMILIES:
            tolerance = own_tolerance(cases, onnx_run(inputs["onnx"]))
        differences = compare_cases(self.name, cases, onnx_run(folder), tolerance)
        save_arrays(out / "factors.npz", factors)
        (out / "calibration.json").write_text(json.dumps({"set": calibration.to_dict()}) + "\n")
        count = sum(map(len, moved.values()))
        worst = max(item.largest for item in differences)
        context.progress(1, 1, f"{count} activations, largest difference {worst:.1e}")
