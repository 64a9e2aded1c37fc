"""``export``: parameters to Paddle Inference files, compared with the network itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.measure.compare import compare_graphs, load_arrays, save_arrays
from asrpack.measure.graph_outputs import (
    DECODER_OUTPUTS,
    ENCODER_OUTPUTS,
    decoder_feed,
    encoder_feed,
)
from asrpack.networks.u2_spec import U2Spec
from asrpack.stages.stage import Context, Params, Stage


class Export(Stage):
    """Traces the network and saves it in Paddle's inference format.

    Inputs: ``description``, ``params``, ``probe``. Outputs: ``paddle/`` with ``encoder`` and
    ``decoder`` (``.json`` + ``.pdiparams``), and ``expected.npz``: what the network gives for
    the probe.
    """

    name: ClassVar[str] = "export"
    outputs: ClassVar[tuple[str, ...]] = ("paddle", "expected.npz")
    tools: ClassVar[tuple[str, ...]] = ("numpy", "paddlepaddle")
    # Also because the bytes are the same for the same inputs in a fresh process only.
    isolated: ClassVar[bool] = True

    def run(self, params: Params, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        """Exports and compares.

        Raises:
            ToolchainError: Paddle cannot trace or save the network, or what it saved gives
                other numbers; the output is named.
        """
        from asrpack.networks.inference_files import run_network, run_saved, save
        from asrpack.networks.u2 import DecoderGraph, EncoderGraph, build

        spec = U2Spec.from_dict(ModelDescription.read(inputs["description"]).network)
        probe = load_arrays(inputs["probe"])
        model = build(spec, load_arrays(inputs["params"]))
        context.progress(1, 4, "network built")

        encoded = run_network(EncoderGraph(model), encoder_feed(probe))
        expected = dict(zip(ENCODER_OUTPUTS, encoded, strict=True))
        # The same encoder states feed both decoders, so that each graph is judged by itself.
        feed = decoder_feed(probe, expected)
        decoded = run_network(DecoderGraph(model), feed)
        expected |= dict(zip(DECODER_OUTPUTS, decoded, strict=True))
        context.progress(2, 4, "network run on the probe")

        folder = out / "paddle"
        folder.mkdir()
        save(model, spec, folder)
        context.progress(3, 4, "saved for Paddle Inference")

        names = (*ENCODER_OUTPUTS, *DECODER_OUTPUTS)
        encoded = run_saved(folder / "encoder", encoder_feed(probe))
        decoded = run_saved(folder / "decoder", feed)
        found = dict(zip(names, (*encoded, *decoded), strict=True))
        differences = compare_graphs(self.name, expected, found, probe)
        save_arrays(out / "expected.npz", expected)
        context.progress(4, 4, "largest difference " + ", ".join(map(str, differences)))
