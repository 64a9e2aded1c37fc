"""``expect``: what imported graphs give on the probe; later steps are held against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.stages.stage import Context, Params, Stage

if TYPE_CHECKING:
    from asrpack.measure.cases import Arrays, Case


class Expect(Stage):
    """``cases.npz`` by ONNX Runtime, an utterance at a time as the runtime ships it.

    A graph from elsewhere may not mask padding, so its batches are no reference.
    Inputs: ``onnx``, ``description``, ``probe``, ``model`` (the original).
    """

    name: ClassVar[str] = "expect"
    outputs: ClassVar[tuple[str, ...]] = ("cases.npz",)
    tools: ClassVar[tuple[str, ...]] = ("numpy", "onnx", "onnxruntime")
    isolated: ClassVar[bool] = True

    def run(self, params: Params, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        """Runs the imported graphs, and the original one.

        Raises:
            ToolchainError: the imported graph gives other numbers than the original.
        """
        from asrpack.measure.cases import make_cases, onnx_run, save_cases
        from asrpack.measure.compare import load_arrays
        from asrpack.measure.original import compare_original
        from asrpack.networks.families import graph_specs

        description = ModelDescription.read(inputs["description"])
        specs = graph_specs(description)
        run = onnx_run(inputs["onnx"])
        cases: list[Case] = []
        for index, single in enumerate(utterances(load_arrays(inputs["probe"]))):
            made = make_cases(description, specs, single, run)
            cases += [replace(case, label=f"utterance {index + 1}") for case in made]
        context.progress(1, 2, f"{len(cases)} cases")
        text = compare_original(description, inputs["model"], cases)
        save_cases(out / "cases.npz", cases)
        context.progress(2, 2, text)


def utterances(probe: Arrays) -> Iterator[Arrays]:
    """Each row of a probe, without padding."""
    for row, (frames, units) in enumerate(zip(probe["feat_lens"], probe["hyps_lens"], strict=True)):
        one = slice(row, row + 1)
        yield {
            "feats": probe["feats"][one, :frames],
            "feat_lens": probe["feat_lens"][one],
            "hyps_in": probe["hyps_in"][one, :units],
            "hyps_lens": probe["hyps_lens"][one],
        }
