"""``convert``: Paddle Inference files to ONNX, compared with the network on the probe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.measure.compare import compare_graphs, load_arrays
from asrpack.measure.graph_outputs import DECODER_OUTPUTS, ENCODER_OUTPUTS, graph_outputs
from asrpack.stages.stage import Context, Params, Stage

ENCODER_AXES = {
    "feats": ("B", "T", None),
    "feat_lens": ("B",),
    "encoder_out": ("B", "T_out", None),
    "ctc_log_probs": ("B", "T_out", None),
    "out_lens": ("B",),
}
DECODER_AXES = {
    "encoder_out": ("N", "T_out", None),
    "encoder_lens": ("N",),
    "hyps_in": ("N", "L"),
    "hyps_lens": ("N",),
    "decoder_log_probs": ("N", "L", None),
}


class Convert(Stage):
    """Converts with paddle2onnx.

    Inputs: ``paddle`` (folder), ``probe``, ``expected``, ``description``. Output: ``onnx/`` with
    ``encoder.onnx`` and, where the model has a decoder, ``decoder.onnx``.
    """

    name: ClassVar[str] = "convert"
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

        graphs = [("encoder", ENCODER_OUTPUTS, ENCODER_AXES)]
        if ModelDescription.read(inputs["description"]).has_decoder:
            graphs.append(("decoder", DECODER_OUTPUTS, DECODER_AXES))
        folder = out / "onnx"
        folder.mkdir()
        for done, (name, outputs, axes) in enumerate(graphs):
            context.progress(done, len(graphs) + 1, name)
            onnx.save(convert(inputs["paddle"] / name, outputs, axes), folder / f"{name}.onnx")
        probe, expected = load_arrays(inputs["probe"]), load_arrays(inputs["expected"])
        found = graph_outputs(folder, probe, expected)
        differences = compare_graphs(self.name, expected, found, probe)
        total = len(graphs) + 1
        context.progress(total, total, "largest difference " + ", ".join(map(str, differences)))

    def explain(self, log: str) -> str | None:
        """Names the operator that paddle2onnx aborted on."""
        from asrpack.graph.from_paddle import explain_abort

        return explain_abort(log)
