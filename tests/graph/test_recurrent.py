"""Recurrent operators get the lengths that paddle2onnx leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from asrpack.graph.recurrent import give_lengths
from asrpack.measure.cases import onnx_run

FRAMES, LENGTHS, SIZE = 6, [6, 2], 3
GATES = {"LSTM": 4, "GRU": 3}


def graph(operator: str, inputs: tuple[str, ...]) -> onnx.ModelProto:
    """One bidirectional layer, as paddle2onnx makes it; lengths are copied to an output last."""
    generator = np.random.default_rng(0)
    gates = GATES[operator] * SIZE
    weights = {"w": (2, gates, SIZE), "r": (2, gates, SIZE), "h0": (2, len(LENGTHS), SIZE)}
    nodes = [
        helper.make_node("Add", ["lens", "lens"], ["sum"]),
        helper.make_node("Sub", ["sum", "lens"], ["steps"]),
        helper.make_node(operator, inputs, ["y", "h"], direction="bidirectional", hidden_size=SIZE),
        helper.make_node("Identity", ["steps"], ["copy"]),
        helper.make_node("Identity", ["copy"], ["out_lens"]),
    ]
    values = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["T", "B", SIZE]),
        helper.make_tensor_value_info("lens", TensorProto.INT64, ["B"]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["T", 2, "B", SIZE]),
        helper.make_tensor_value_info("h", TensorProto.FLOAT, [2, "B", SIZE]),
        helper.make_tensor_value_info("out_lens", TensorProto.INT64, ["B"]),
    ]
    constants = [
        numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    made = helper.make_graph(nodes, "layer", values, outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("inputs", [("x", "w", "r"), ("x", "w", "r", "", "", "h0")])
def test_padding_does_not_matter(operator: str, inputs: tuple[str, ...], tmp_path: Path) -> None:
    model = graph(operator, inputs)
    give_lengths(model.graph, "out_lens")
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "layer.onnx")
    run = onnx_run(tmp_path)
    x = np.random.default_rng(1).normal(size=(FRAMES, len(LENGTHS), SIZE)).astype(np.float32)
    found = run("layer", {"x": x, "lens": np.array(LENGTHS)})
    x[LENGTHS[1] :, 1] = 100.0
    again = run("layer", {"x": x, "lens": np.array(LENGTHS)})
    for name in ("y", "h"):
        np.testing.assert_array_equal(found[name], again[name])
    assert not found["y"][LENGTHS[1] :, :, 1].any()


def test_lengths_that_are_there_stay() -> None:
    model = graph("LSTM", ("x", "w", "r", "", "others"))
    before = model.SerializeToString()
    give_lengths(model.graph, "out_lens")
    assert model.SerializeToString() == before
