from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from asrpack.graph.fold_scale import FoldScale
from tests.graph.small import applied, graph, initializers, operators, run, same_numbers

node = helper.make_node


def layer_and_scale(rng, scale, **more):
    return graph(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Add", ["h", "b"], ["i"]),
            node("Mul", ["i", "scale"], ["j"]),
            node("Relu", ["j"], ["y"]),
        ],
        {"x": ["B", "T", 6]},
        {"y": ["B", "T", 8], **more},
        {
            "w": rng.standard_normal((6, 8), np.float32),
            "b": rng.standard_normal(8, np.float32),
            "scale": scale,
        },
    )


def test_a_power_of_two_goes_into_weight_and_bias_and_no_bit_changes(rng):
    before = layer_and_scale(rng, np.float32([0.5]))
    after = applied(before, FoldScale())
    assert operators(after) == {"MatMul": 1, "Add": 1, "Relu": 1}
    np.testing.assert_array_equal(initializers(after)["w"], initializers(before)["w"] / 2)
    feed = {"x": rng.standard_normal((2, 5, 6), np.float32)}
    np.testing.assert_array_equal(run(before, feed), run(after, feed))


def test_another_number_changes_results_by_roundings_only(rng):
    before = layer_and_scale(rng, np.float32(1 / np.sqrt(48)))
    after = applied(before, FoldScale())
    assert "Mul" not in operators(after)
    assert same_numbers(before, after, {"x": rng.standard_normal((2, 5, 6), np.float32)}, 1e-6)


@pytest.mark.parametrize(
    ("scale", "more"),
    [
        (np.full(8, 0.5, np.float32), {}),  # a number a channel
        (np.full((1, 1, 1, 1), 0.5, np.float32), {}),  # gives a dimension more
        (np.float32(0.5), {"i": ["B", "T", 8]}),  # what is scaled is an output
        (np.float32(0.5), {"h": ["B", "T", 8]}),
    ],
)
def test_what_is_no_number_or_is_needed_unscaled_stays(rng, scale, more):
    if scale.ndim == 4:
        more = {"y": ["A", "B", "T", 8]}
    before = layer_and_scale(rng, scale, **more)
    assert operators(applied(before, FoldScale())) == operators(before)


def test_a_weight_of_two_layers_stays(rng):
    before = graph(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Mul", ["h", "half"], ["i"]),
            node("MatMul", ["i", "w"], ["y"]),
        ],
        {"x": ["T", 6]},
        {"y": ["T", 6]},
        {"w": rng.standard_normal((6, 6), np.float32), "half": np.float32(0.5)},
    )
    assert operators(applied(before, FoldScale())) == operators(before)


def test_a_sum_of_a_value_with_itself_stays(rng):
    before = graph(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Add", ["h", "h"], ["i"]),
            node("Mul", ["i", "half"], ["j"]),
            node("Relu", ["j"], ["y"]),
        ],
        {"x": ["T", 6]},
        {"y": ["T", 6]},
        {"w": rng.standard_normal((6, 6), np.float32), "half": np.float32(0.5)},
    )
    assert operators(applied(before, FoldScale())) == operators(before)


def test_the_root_of_the_heads_size_goes_into_the_query(rng):
    before = graph(
        [
            node("MatMul", ["x", "q"], ["q0"]),
            node("Add", ["q0", "b"], ["q1"]),
            node("Reshape", ["q1", "shape"], ["q2"]),
            node("Transpose", ["q2"], ["q3"], perm=[0, 2, 1, 3]),
            node("MatMul", ["q3", "k"], ["s"]),
            node("Mul", ["s", "scale"], ["t"]),
            node("Softmax", ["t"], ["y"]),
        ],
        {"x": ["B", "T", 8], "k": ["B", 2, 4, "U"]},
        {"y": ["B", 2, "T", "U"]},
        {
            "q": rng.standard_normal((8, 8), np.float32),
            "b": rng.standard_normal(8, np.float32),
            "shape": np.array([0, 0, 2, 4]),
            "scale": np.float32([0.5]),
        },
    )
    after = applied(before, FoldScale())
    assert "Mul" not in operators(after)
    feed = {
        "x": rng.standard_normal((2, 5, 8), np.float32),
        "k": rng.standard_normal((2, 2, 4, 7), np.float32),
    }
    np.testing.assert_array_equal(run(before, feed), run(after, feed))


def test_the_scale_of_an_embedding_goes_into_its_table(rng):
    before = graph(
        [
            node("Gather", ["table", "index"], ["h"]),
            node("Shape", ["h"], ["size"]),  # is the same for the scaled one
            node("Mul", ["h", "scale"], ["i"]),
            node("Expand", ["i", "size"], ["y"]),
        ],
        {},
        {"y": [3, 4]},
        {
            "table": rng.standard_normal((9, 4), np.float32),
            "index": np.array([8, 0, 3]),
            "scale": np.float32([16.0]),
        },
    )
    after = applied(before, FoldScale())
    assert operators(after) == {"Gather": 1, "Shape": 1, "Expand": 1}
    np.testing.assert_array_equal(run(before, {}), run(after, {}))
