from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from asrpack.graph.quantization.weight_only import to_blocks
from asrpack.graph.weights import weight_matrices
from asrpack.runtime.engines.onnxruntime import open_session
from tests.graph.small import graph, initializers, operators, run

node = helper.make_node
# Of the greatest number of a block of Gaussian ones.
HALF_A_STEP = {8: 0.5 / 127, 4: 0.5 / 7}


def network(rng, inner=96):
    """A table, two layers of one matrix, an inner one and an output layer."""
    return graph(
        [
            node("Cast", ["ids"], ["index"], to=7),
            node("Gather", ["embed", "index"], ["h"]),
            node("MatMul", ["h", "tied"], ["a"], name="first"),
            node("MatMul", ["a", "tied"], ["b"], name="second"),
            node("MatMul", ["b", "inner"], ["c"], name="third"),
            node("MatMul", ["c", "out"], ["y"], name="output"),
        ],
        {"ids": ["B", "L"]},
        {"y": ["B", "L", 70]},
        {
            "embed": rng.standard_normal((300, inner), np.float32),
            "tied": rng.standard_normal((inner, inner), np.float32) / inner**0.5,
            "inner": rng.standard_normal((inner, 64), np.float32) / inner**0.5,
            "out": rng.standard_normal((64, 70), np.float32) / 8,
        },
    )


FEED = {"ids": np.arange(24, dtype=np.float32).reshape(2, 12)}


def quantized(model, excluded=(), bits=8, block_size=32):
    after = type(model).FromString(model.SerializeToString())
    assert to_blocks(after, set(excluded), bits, block_size) == []
    onnx.checker.check_model(after)
    return after


def output(model):
    return open_session(model.SerializeToString(), "small.onnx").run(None, FEED)[0]


@pytest.mark.parametrize(("bits", "error"), [(8, 0.02), (4, 0.25)])
@pytest.mark.parametrize("block_size", [32, 64, 128, 256])
@pytest.mark.parametrize("inner", [96, 144])  # blocks divide one, and only of 32; the other none
def test_outputs_stay_close_whether_blocks_divide_or_not(rng, bits, error, block_size, inner):
    model = network(rng, inner)
    before, found = run(model, FEED)[0], output(quantized(model, (), bits, block_size))
    assert found.shape == before.shape
    assert np.sqrt(np.square(found - before).mean() / np.square(before).mean()) < error


@pytest.mark.parametrize("bits", [8, 4])
def test_blocks_replace_products_and_the_rest_is_stored_in_half(rng, bits):
    after = quantized(network(rng), {"output"}, bits)
    assert operators(after)["MatMulNBits"] == 3 and operators(after)["MatMul"] == 1
    stored = initializers(after)
    assert stored["tied_Q8" if bits == 8 else "tied_Q4"].dtype == np.uint8
    assert ("tied_zero_points" in stored) == (bits == 4)
    assert stored["embed"].dtype == stored["out_half"].dtype == np.float16
    assert len(stored) == len(after.graph.initializer), "a matrix of two layers is stored once"


def test_what_is_no_plain_matrix_is_left_alone(rng):
    """A watermark would not find it again."""
    model = graph(
        [node("MatMul", ["x", "batched"], ["y"], name="batched")],
        {"x": ["B", "T", 16]},
        {"y": ["B", "T", 8]},
        {"batched": rng.standard_normal((1, 16, 8), np.float32)},
    )
    assert operators(quantized(model)) == {"MatMul": 1}


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("block_size", [32, 128])
def test_the_matrices_are_found_again_by_name_and_value(rng, bits, block_size):
    model = network(rng, inner=144)
    full = {m.name: m.values() for m in weight_matrices(ir.from_proto(model), "small")}
    after = ir.from_proto(quantized(model, {"output"}, bits, block_size))
    found = {m.name: m for m in weight_matrices(after, "small")}
    assert list(found) == list(full) == ["tied", "inner", "out"]
    for name in ("tied", "inner"):
        values, matrix = full[name], found[name]
        assert matrix.values().shape == matrix.codes().shape == values.shape
        steps = np.abs(matrix.steps)
        # The greatest number of a symmetric block may lie a step outside.
        assert (np.abs(matrix.values() - values) <= 1.01 * steps).all()
        assert np.mean(np.abs(matrix.values() - values) <= 0.501 * steps) > 0.98
        assert steps.max() <= 2.1 * HALF_A_STEP[bits] * np.abs(values).max()
    np.testing.assert_allclose(found["out"].values(), full["out"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 4])
def test_the_runtime_multiplies_by_what_is_read_and_by_what_is_stored(rng, bits):
    """Rows of one matrix come out where the other input is the unit matrix."""
    unit = graph(
        [node("MatMul", ["x", "w"], ["y"], name="layer")],
        {"x": ["B", 144]},
        {"y": ["B", 40]},
        {"w": rng.standard_normal((144, 40), np.float32)},
    )
    model = ir.from_proto(quantized(unit, (), bits, 64))
    matrix = weight_matrices(model, "small")[0]

    def product():
        session = open_session(ir.to_proto(model).SerializeToString(), "small.onnx")
        return session.run(None, {"x": np.eye(144, dtype=np.float32)})[0]

    np.testing.assert_allclose(product(), matrix.values(), atol=2e-5)
    low, high = matrix.limits
    codes = rng.integers(low, high + 1, (144, 40))
    matrix.store(codes)
    np.testing.assert_array_equal(matrix.codes(), codes)
    np.testing.assert_allclose(product(), matrix.values(), atol=2e-5 * (high + 1))
