from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from asrpack.errors import InputError
from asrpack.graph.quantization.dynamic import to_int8
from asrpack.graph.quantization.half import to_fp16
from asrpack.graph.weights import weight_matrices
from tests.graph.small import graph

node = helper.make_node


@pytest.fixture
def model(rng):
    """Two layers by constants, one product of activations."""
    return graph(
        [
            node("MatMul", ["x", "one"], ["a"], name="first"),
            node("MatMul", ["a", "two"], ["b"], name="second"),
            node("Transpose", ["b"], ["c"], perm=[0, 2, 1]),
            node("MatMul", ["b", "c"], ["y"], name="attention"),
        ],
        {"x": ["B", "T", 16]},
        {"y": ["B", "T", "T"]},
        {
            "one": rng.standard_normal((16, 8), np.float32),
            "two": rng.standard_normal((8, 4), np.float32),
        },
    )


def matrices(model):
    return {item.name: item for item in weight_matrices(ir.from_proto(model), "encoder.onnx")}


def test_names_and_values_are_the_same_in_every_precision(model):
    full = matrices(model)
    half = matrices(to_fp16(graph_copy(model)))
    int8 = matrices(to_int8(graph_copy(model), set()))
    assert list(full) == list(half) == list(int8) == ["one", "two"]
    for name, matrix in full.items():
        exact = matrix.values()
        np.testing.assert_allclose(half[name].values(), exact, rtol=1e-3)
        steps = int8[name].steps
        np.testing.assert_allclose(steps, np.abs(exact).max(axis=0) / 127, rtol=1e-6)
        assert np.all(np.abs(int8[name].values() - exact) <= steps * 0.5001)


def test_what_is_stored_is_what_the_graph_holds(model):
    quantized = ir.from_proto(to_int8(graph_copy(model), set()))
    matrix = weight_matrices(quantized, "encoder.onnx")[0]
    matrix.store(np.full((16, 8), 3))
    stored = {item.name: item for item in ir.to_proto(quantized).graph.initializer}
    codes = numpy_helper.to_array(stored["one_quantized"])
    assert codes.dtype == np.int8
    assert np.all(codes == 3)


def test_int8_of_another_quantizer_is_refused(rng):
    foreign = graph(
        [
            node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
            node("MatMulInteger", ["q", "w", "z", "wz"], ["i"]),
            node("Cast", ["i"], ["y"], to=1),
        ],
        {"x": ["B", 4]},
        {"y": ["B", 6]},
        {"w": rng.integers(0, 255, (4, 6)).astype(np.uint8), "wz": np.uint8(128)},
    )
    with pytest.raises(InputError) as caught:
        matrices(foreign)
    assert caught.value.code == "weights-layout"
    assert "w" in caught.value.message


def graph_copy(model):
    copy = type(model)()
    copy.CopyFrom(model)
    return copy
