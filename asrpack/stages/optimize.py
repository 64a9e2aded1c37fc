"""Runs the graph passes, and holds what comes out against the network."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from asrpack.bundle.model import ModelDescription
from asrpack.errors import AsrpackError, ToolchainError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    from asrpack.measure.cases import Case


class Optimize(Stage):
    """``onnx/``: the converted graphs, folded, simplified and fit for the quantizer.

    Inputs: ``onnx`` (folder of the convert stage), ``cases``, ``description``.
    Same bytes for the same input, on any machine.
    """

    name: ClassVar[str] = "optimize"
    revision: ClassVar[int] = 3
    outputs: ClassVar[tuple[str, ...]] = ("onnx",)
    tools: ClassVar[tuple[str, ...]] = ("numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript")
    isolated: ClassVar[bool] = True

    def run(
        self, params: stage.Params, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Optimizes and compares on the probe.

        Raises:
            ToolchainError: a pass failed, or changed what the graphs compute: the output and the
                pass are named.
        """
        from asrpack.graph.passes import standard_passes
        from asrpack.measure.cases import load_cases, onnx_run
        from asrpack.measure.compare import FLOAT32_TOLERANCE
        from asrpack.measure.sensitivity import own_tolerance
        from asrpack.networks.foreign import FAMILIES

        family = ModelDescription.read(inputs["description"]).family
        cases = load_cases(inputs["cases"])
        tolerance = FLOAT32_TOLERANCE
        if family in FAMILIES:
            tolerance = own_tolerance(cases, onnx_run(inputs["onnx"]))
        folder = out / "onnx"
        folder.mkdir()
        count = len(standard_passes(""))
        context.progress(0, 2, f"{count} passes")
        optimize(inputs["onnx"], folder, count, family)
        context.progress(1, 2, "comparing")
        error = mismatch(folder, cases, tolerance)
        if error is not None:
            raise blame(inputs["onnx"], cases, error, tolerance)
        context.progress(2, 2, "same as the network")


def optimize(source: Path, folder: Path, count: int, family: str) -> None:
    """Writes the graphs of ``source`` after the first ``count`` passes to ``folder``."""
    from asrpack.graph.files import load_graph, save_graph
    from asrpack.graph.passes import run_passes, standard_passes

    for path in sorted(source.glob("*.onnx")):
        model = load_graph(path)
        run_passes(model, standard_passes(path.stem)[:count], path.name)
        model.metadata_props.update({"asrpack.family": family, "asrpack.graph": path.stem})
        save_graph(model, folder / path.name)


def mismatch(folder: Path, cases: Sequence[Case], tolerance: float) -> AsrpackError | None:
    """What is wrong with the graphs' outputs, or None."""
    from asrpack.measure.cases import compare_cases, onnx_run

    try:
        compare_cases("optimize", cases, onnx_run(folder), tolerance)
    except AsrpackError as error:
        return error
    return None


def blame(
    source: Path, cases: Sequence[Case], error: AsrpackError, tolerance: float
) -> ToolchainError:
    """Runs the passes again, one more each time, until the outputs are wrong."""
    from asrpack.graph.passes import standard_passes

    names = [item.name for item in standard_passes("")]
    for count in range(len(names) + 1):
        with tempfile.TemporaryDirectory(prefix="asrpack-") as folder:
            optimize(source, Path(folder), count, "")
            found = mismatch(Path(folder), cases, tolerance)
        if found is not None:
            where = f"after the pass {names[count - 1]!r}" if count else "before any pass"
            return ToolchainError(
                f"{found.message}; it first shows {where}",
                code="optimize-mismatch",
                place=found.place,
                remedy="report this with the file that `--until convert` leaves",
            )
    return ToolchainError(
        f"{error.message}, but not when the passes are run again",
        code="optimize-mismatch",
        place=error.place,
        remedy="build again with `--force optimize`, and check the machine's memory",
    )
