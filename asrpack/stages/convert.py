"""``convert``: Paddle Inference files to ONNX, compared with the network on the probe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.measure.cases import compare_cases, load_cases, onnx_run
from asrpack.networks.families import graph_specs
from asrpack.stages.stage import Context, Params, Stage


class Convert(Stage):
    """Converts with paddle2onnx.

    Inputs: ``paddle`` (folder), ``cases``, ``description``. Output: ``onnx/`` with one file for
    each of the model's graphs.
    """

    name: ClassVar[str] = "convert"
    revision: ClassVar[int] = 2
    outputs: ClassVar[tuple[str, ...]] = ("onnx",)
    tools: ClassVar[tuple[str, ...]] = (
        "numpy",
        "onnx",
        "onnxruntime",
        "paddle2onnx",
        "paddlepaddle",
    )
    isolated: ClassVar[bool] = True

    def run(self, params: Params, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        """Converts, names inputs and outputs, checks and compares.

        Raises:
            ToolchainError: paddle2onnx fails, the graph is not valid ONNX, or it gives other
                numbers than the network; the output is named.
        """
        import onnx

        from asrpack.graph.from_paddle import convert

        specs = graph_specs(ModelDescription.read(inputs["description"]))
        folder = out / "onnx"
        folder.mkdir()
        total = len(specs) + 1
        for done, spec in enumerate(specs):
            context.progress(done, total, spec.name)
            onnx.save(convert(inputs["paddle"] / spec.name, spec), folder / f"{spec.name}.onnx")
        differences = compare_cases(self.name, load_cases(inputs["cases"]), onnx_run(folder))
        context.progress(total, total, "largest difference " + ", ".join(map(str, differences)))

    def explain(self, log: str) -> str | None:
        """Names the operator that paddle2onnx aborted on."""
        from asrpack.graph.from_paddle import explain_abort

        return explain_abort(log)
