"""``expect`` for Paddle Inference files: what Paddle gives on the probe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.stages.stage import Context, Params, Stage


class ExpectExported(Stage):
    """``cases.npz``: asrpack's own export on the probe, by Paddle Inference."""

    name: ClassVar[str] = "expect"
    outputs: ClassVar[tuple[str, ...]] = ("cases.npz",)
    tools: ClassVar[tuple[str, ...]] = ("numpy", "paddlepaddle")
    isolated: ClassVar[bool] = True

    def run(self, params: Params, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        """Runs each graph of ``paddle``."""
        from asrpack.measure.cases import make_cases, save_cases
        from asrpack.measure.compare import load_arrays
        from asrpack.networks.families import graph_specs
        from asrpack.networks.inference_files import run_saved

        description = ModelDescription.read(inputs["description"])
        specs = {spec.name: spec for spec in graph_specs(description)}
        cases = make_cases(
            description,
            tuple(specs.values()),
            load_arrays(inputs["probe"]),
            lambda graph, feed: run_saved(inputs["paddle"], specs[graph], feed),
        )
        save_cases(out / "cases.npz", cases)
        context.progress(1, 1, f"{len(cases)} cases by Paddle Inference")
