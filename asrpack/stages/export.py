"""``export``: parameters to Paddle Inference files, compared with the network itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.measure.cases import compare_cases, make_cases, save_cases
from asrpack.measure.compare import load_arrays
from asrpack.networks.families import graph_specs, layers
from asrpack.stages.stage import Context, Params, Stage


class Export(Stage):
    """Traces the network and saves it in Paddle's inference format.

    Inputs: ``description``, ``params``, ``probe``. Outputs: ``paddle/`` with each graph
    (``.json`` + ``.pdiparams``), and ``cases.npz``: what the network gives for the probe.
    """

    name: ClassVar[str] = "export"
    revision: ClassVar[int] = 3
    outputs: ClassVar[tuple[str, ...]] = ("paddle", "cases.npz")
    tools: ClassVar[tuple[str, ...]] = ("numpy", "paddlepaddle")
    # Also because the bytes are the same for the same inputs in a fresh process only.
    isolated: ClassVar[bool] = True

    def run(self, params: Params, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        """Exports and compares.

        Raises:
            ToolchainError: Paddle cannot trace or save the network, or what it saved gives
                other numbers; the output is named.
        """
        from asrpack.networks.inference_files import run_layer, run_saved, save

        description = ModelDescription.read(inputs["description"])
        specs = {spec.name: spec for spec in graph_specs(description)}
        network = layers(description, load_arrays(inputs["params"]))
        context.progress(1, 4, "network built")

        cases = make_cases(
            description,
            tuple(specs.values()),
            load_arrays(inputs["probe"]),
            lambda graph, feed: run_layer(network[graph], specs[graph], feed),
        )
        context.progress(2, 4, "network run on the probe")

        folder = out / "paddle"
        folder.mkdir()
        for name, spec in specs.items():
            save(network[name], spec, folder)
        context.progress(3, 4, "saved for Paddle Inference")

        differences = compare_cases(
            self.name, cases, lambda graph, feed: run_saved(folder, specs[graph], feed)
        )
        save_cases(out / "cases.npz", cases)
        context.progress(4, 4, "largest difference " + ", ".join(map(str, differences)))
