"""Runs the stages of a build one after the other, without recipe, keys or cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from asrpack.pipeline.worker import run_isolated
from asrpack.stages.convert import Convert
from asrpack.stages.export import Export
from asrpack.stages.import_ import Import
from asrpack.stages.optimize import Optimize
from asrpack.stages.probe import Probe
from asrpack.stages.stage import Context, Params, Stage


def run_stage(
    stage: Stage, inputs: Mapping[str, Path], workspace: Path, params: Params | None = None
) -> Path:
    """Runs a stage as a build does, in a process of its own where it asks for one.

    Returns:
        The folder that holds its outputs, below ``workspace``.
    """
    folder = workspace / stage.name
    out = folder / "out"
    out.mkdir(parents=True)
    params = params or stage.Params()
    if stage.isolated:
        run_isolated(stage, params, inputs, folder, Context())
    else:
        stage.run(params, inputs, out, Context())
    return out


def run_until_optimized(
    model: Path, manifest: Path, workspace: Path, params: Params | None = None
) -> dict[str, Path]:
    """Imports, probes, exports, converts and optimizes a PaddleSpeech model directory.

    Args:
        params: of the import.

    Returns:
        ``description``, ``cases``, and the folders ``converted`` and ``optimized``.
    """
    imported = run_stage(Import(), {"model": model}, workspace, params)
    description = imported / "model.json"
    given = {"description": description, "manifest": manifest}
    probe = run_stage(Probe(), given, workspace) / "probe.npz"
    given = {"description": description, "params": imported / "params.npz", "probe": probe}
    exported = run_stage(Export(), given, workspace)
    compared = {
        "description": description,
        "cases": exported / "cases.npz",
    }
    converted = run_stage(Convert(), {"paddle": exported / "paddle", **compared}, workspace)
    optimized = run_stage(Optimize(), {"onnx": converted / "onnx", **compared}, workspace)
    return {**compared, "converted": converted / "onnx", "optimized": optimized / "onnx"}
