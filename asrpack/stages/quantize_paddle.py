"""``quantize`` for Paddle Inference: the exported graphs in the precision that ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.stages import stage
from asrpack.stages.layer_choice import unmatched
from asrpack.stages.quantize import QuantizeParams
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    import numpy as np

    from asrpack.graph.pir.program import Program
    from asrpack.measure.cases import Arrays, Run


class QuantizePaddle(Stage):
    """``paddle/``: the graphs as the runtime's engine takes them, their outputs named.

    Inputs: ``paddle`` (folder of the export stage), ``cases``, ``description``. Same bytes for
    the same input.
    """

    name: ClassVar[str] = "quantize"
    outputs: ClassVar[tuple[str, ...]] = ("paddle",)
    tools: ClassVar[tuple[str, ...]] = ("numpy", "paddlepaddle")
    isolated: ClassVar[bool] = True
    Params: ClassVar[type[stage.Params]] = QuantizeParams

    def run(
        self, params: QuantizeParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Converts the weights; fp32 is compared with the network, as the runtime runs it.

        Raises:
            InputError: a pattern of ``exclude`` names nothing.
            ToolchainError: the engine gives other numbers than the network; the output is named.
        """
        from asrpack.graph.pir import precision
        from asrpack.graph.pir.program import Program
        from asrpack.measure.cases import compare_cases, load_cases
        from asrpack.networks.families import graph_specs

        specs = graph_specs(ModelDescription.read(inputs["description"]))
        programs = {spec.name: Program.load(inputs["paddle"] / spec.name) for spec in specs}
        excluded = _excluded(programs, params.exclude)
        folder = out / "paddle"
        folder.mkdir()
        for done, spec in enumerate(specs):
            context.progress(done, len(specs) + 1, spec.name)
            program = programs[spec.name]
            program.name_outputs(spec.output_names)
            if params.precision == "int8":
                precision.to_int8(program, excluded[spec.name])
            elif params.precision == "fp16":
                precision.to_fp16(program)
            program.save(folder / spec.name)
        shown: str = params.precision
        if params.precision == "fp32":
            differences = compare_cases(self.name, load_cases(inputs["cases"]), _run(folder))
            shown = "largest difference " + ", ".join(map(str, differences))
        context.progress(len(specs) + 1, len(specs) + 1, shown)


def _excluded(programs: Mapping[str, Program], patterns: tuple[str, ...]) -> dict[str, set[str]]:
    """Names of the matrices that stay fp32, by graph: the output layers, and what is named."""
    from asrpack.graph.pir import precision
    from asrpack.graph.pir.weights import weight_matrices

    found = {name: precision.matching(program, patterns) for name, program in programs.items()}
    for pattern in patterns:
        if not any(by_pattern[pattern] for by_pattern in found.values()):
            weights = [m.name for program in programs.values() for m in weight_matrices(program)]
            raise unmatched("exclude", pattern, weights)
    return {
        name: precision.output_layers(program).union(*found[name].values())
        for name, program in programs.items()
    }


def _run(folder: Path) -> Run:
    """Runs the graphs of a folder on the runtime's engine, each loaded once."""
    from asrpack.runtime.engines import Graph, graph_files, open_graph

    target = "paddle_inference"
    graphs: dict[str, Graph] = {}

    def run(name: str, feed: Arrays) -> dict[str, np.ndarray]:
        if name not in graphs:
            files = {file: (folder / file).read_bytes() for file in graph_files(target, [name])}
            graphs[name] = open_graph(target, name, files)
        graph = graphs[name]
        return dict(zip(graph.outputs, graph.run(graph.outputs, feed), strict=True))

    return run
