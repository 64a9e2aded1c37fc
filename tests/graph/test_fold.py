from __future__ import annotations

import numpy as np
from onnx import helper

from asrpack.graph.fold import FoldConstants
from tests.graph.small import applied, graph, initializers, operators, same_numbers

node = helper.make_node


def test_a_wrapped_weight_becomes_an_initializer_under_its_own_name(rng):
    weight = rng.standard_normal((6, 4, 1), np.float32)
    wrapped = graph(
        [
            node("Identity", ["w"], ["w1"]),
            node("Add", ["w1", "zero"], ["w2"]),
            node("Squeeze", ["w2", "axes"], ["w3"]),
            node("Transpose", ["w3"], ["w4"], perm=[1, 0]),
            node("Identity", ["w4"], ["w5"]),
            node("MatMul", ["x", "w5"], ["y"]),
        ],
        {"x": ["B", 4]},
        {"y": ["B", 6]},
        {"w": weight, "zero": np.zeros(1, np.float32), "axes": np.array([2])},
        as_nodes=True,
    )
    after = applied(wrapped, FoldConstants())
    assert operators(after) == {"MatMul": 1}
    assert list(initializers(after)) == ["w"]
    np.testing.assert_array_equal(initializers(after)["w"], weight[:, :, 0].T)
    assert same_numbers(wrapped, after, {"x": rng.standard_normal((3, 4), np.float32)})


def test_a_weight_that_is_also_used_as_it_is_keeps_its_name_to_itself(rng):
    shared = graph(
        [
            node("Transpose", ["w"], ["wt"], perm=[1, 0]),
            node("MatMul", ["x", "w"], ["h"]),
            node("MatMul", ["h", "wt"], ["y"]),
        ],
        {"x": ["B", 4]},
        {"y": ["B", 4]},
        {"w": rng.standard_normal((4, 6), np.float32)},
        as_nodes=True,
    )
    after = applied(shared, FoldConstants())
    assert initializers(after).keys() == {"w", "wt"}
    assert same_numbers(shared, after, {"x": rng.standard_normal((3, 4), np.float32)})


def test_a_constant_list_that_is_split_is_folded(rng):
    """paddle2onnx puts the pads of a causal convolution together like this."""
    padded = graph(
        [
            node("Split", ["all", "sizes"], ["left", "right"], axis=0),
            node("Concat", ["zeros", "left", "zeros", "right"], ["pads"], axis=0),
            node("Pad", ["x", "pads"], ["y"]),
        ],
        {"x": ["B", 5]},
        {"y": ["B", "T"]},
        {"all": np.array([2, 1]), "sizes": np.array([1, 1]), "zeros": np.array([0])},
        as_nodes=True,
    )
    after = applied(padded, FoldConstants())
    assert operators(after) == {"Pad": 1}
    assert same_numbers(padded, after, {"x": rng.standard_normal((2, 5), np.float32)})


def test_what_would_grow_the_file_is_left_alone(rng):
    filled = graph(
        [
            node("Expand", ["one", "shape"], ["ones"]),
            node("Add", ["x", "ones"], ["y"]),
        ],
        {"x": ["B", 300]},
        {"y": ["B", 300]},
        {"one": np.ones(1, np.float32), "shape": np.array([200, 300])},
        as_nodes=True,
    )
    after = applied(filled, FoldConstants())
    assert operators(after) == {"Expand": 1, "Add": 1}


def test_what_depends_on_an_input_is_left_alone(rng):
    model = graph(
        [node("Transpose", ["x"], ["t"], perm=[1, 0]), node("MatMul", ["t", "w"], ["y"])],
        {"x": [4, "B"]},
        {"y": ["B", 6]},
        {"w": rng.standard_normal((4, 6), np.float32)},
    )
    assert operators(applied(model, FoldConstants())) == {"Transpose": 1, "MatMul": 1}
