"""Graphs with states through every step of a build, for real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.measure.cases import load_cases, onnx_run
from asrpack.protect.keys import generate
from asrpack.stages.configure import Configure
from asrpack.stages.convert import Convert
from asrpack.stages.export import Export
from asrpack.stages.optimize import Optimize
from asrpack.stages.quantize import Quantize
from asrpack.stages.stage import Context, Stage
from asrpack.stages.watermark import Watermark
from tests.networks.variants import SPEC, TRANSFORMER, VARIANTS
from tests.stages.paddle_models import imported

pytest.importorskip("paddle2onnx")

WIDE = replace(VARIANTS["causal"].encoder, output_size=64, linear_units=128)


def run(stage: Stage, folder: Path, inputs: dict[str, Path], **params: object) -> Path:
    out = folder / stage.name
    out.mkdir()
    context = Context(secrets={"key": generate("watermark")})
    stage.run(stage.Params.model_validate(params), inputs, out, context)
    return out


def optimized(inputs: dict[str, Path], folder: Path) -> tuple[Path, Path]:
    """The optimized graphs, and the cases that every step was held against."""
    exported = run(Export(), folder, inputs)
    compared = {"cases": exported / "cases.npz", "description": inputs["description"]}
    converted = run(Convert(), folder, {"paddle": exported / "paddle", **compared})
    graphs = run(Optimize(), folder, {"onnx": converted / "onnx", **compared}) / "onnx"
    return graphs, exported / "cases.npz"


@pytest.mark.slow
def test_from_parameters_to_a_marked_int8_graph(tmp_path: Path) -> None:
    inputs = imported(replace(SPEC, encoder=WIDE), tmp_path / "model", streaming=True)
    graphs, cases_file = optimized(inputs, tmp_path)
    cases = load_cases(cases_file)
    labels = [case.label for case in cases if case.graph == "encoder"]
    # The whole batch from empty states, and chunks of which the last has lost some history.
    assert labels == ["", "chunk 1", "chunk 2", "chunk 3"]
    assert [case.feed["att_cache"].shape[3] for case in cases[:4]] == [0, 0, 8, 16]
    int8 = run(Quantize(), tmp_path, {"onnx": graphs}, precision="int8") / "onnx"
    marked = run(Watermark(), tmp_path, {"original": graphs, "onnx": int8}, customer="acme")
    model = onnx.load(marked / "onnx" / "encoder.onnx")
    assert sum(node.op_type == "MatMulInteger" for node in model.graph.node) > 10
    shapes = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes["att_cache"] == [2, "B", 4, "C", 32]
    assert shapes["next_cnn_cache"] == [2, "B", 64, 14]
    for case in cases[:4]:
        found = onnx_run(marked / "onnx")("encoder", case.feed)
        for name, expected in case.expected.items():
            assert found[name].shape == expected.shape
            assert np.isfinite(found[name]).all()
        # What eight bits and the mark cost, not another computation.
        gap = np.abs(found["encoder_out"] - case.expected["encoder_out"])[0]
        assert gap.mean() < 0.1 * np.abs(case.expected["encoder_out"]).mean()


@pytest.mark.slow
def test_a_transformer_converts(tmp_path: Path) -> None:
    inputs = imported(replace(SPEC, encoder=TRANSFORMER), tmp_path / "model", streaming=True)
    graphs, _ = optimized(inputs, tmp_path)
    assert (graphs / "encoder.onnx").is_file()


def test_configure_sets_chunks(tmp_path: Path) -> None:
    inputs = imported(VARIANTS["causal"], tmp_path / "model", streaming=True)
    given = {"description": inputs["description"]}
    out = run(Configure(), tmp_path, given, chunk_size=8, left_chunks=4)
    streaming = ModelDescription.read(out / "model.json").streaming
    assert streaming is not None and (streaming.chunk_size, streaming.left_chunks) == (8, 4)
    (tmp_path / "again").mkdir()
    with pytest.raises(InputError, match="longer than the 500") as caught:
        run(Configure(), tmp_path / "again", given, chunk_size=501)
    assert caught.value.place == "streaming.chunk_size"
