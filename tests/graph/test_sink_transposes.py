from __future__ import annotations

import numpy as np
from onnx import helper

from asrpack.graph.simplify import Simplify
from asrpack.graph.sink_transposes import SinkTransposes
from tests.graph.small import applied, graph, operators, same_numbers

node = helper.make_node
SWAP = [0, 2, 1]


def test_transposes_around_masks_and_a_gate_cancel(rng):
    before = graph(
        [
            node("Transpose", ["x"], ["a"], perm=SWAP),
            node("Unsqueeze", ["valid", "one"], ["mask"]),
            node("Mul", ["a", "mask"], ["b"]),
            node("Split", ["b"], ["c", "d"], axis=1),
            node("Sigmoid", ["d"], ["e"]),
            node("Mul", ["c", "e"], ["f"]),
            node("Mul", ["mask", "f"], ["g"]),
            node("Mul", ["g", "half"], ["h"]),
            node("Transpose", ["h"], ["i"], perm=SWAP),
            node("Softmax", ["i"], ["y"]),
        ],
        {"x": ["B", "T", 8], "valid": ["B", "T"]},
        {"y": ["B", "T", 4]},
        {"one": np.array([1]), "half": np.float32(0.5)},
    )
    after = applied(before, SinkTransposes(), Simplify())
    # What is left turns the mask, once for each place that it is used.
    assert operators(after) == {**operators(before), "Transpose": 2}
    assert all(item.input[0] == "mask" for item in after.graph.node if item.op_type == "Transpose")
    feed = {
        "x": rng.standard_normal((2, 5, 8), np.float32),
        "valid": np.float32([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    }
    assert same_numbers(before, after, feed, 0)


def test_an_axis_follows_a_permutation_that_is_not_its_own_inverse(rng):
    before = graph(
        [
            node("Transpose", ["x"], ["a"], perm=[2, 0, 1]),
            node("Split", ["a"], ["b", "c"], axis=0),
            node("Add", ["b", "c"], ["d"]),
            node("Add", ["d", "row"], ["e"]),
            node("Transpose", ["e"], ["f"], perm=[1, 2, 0]),
            node("Softmax", ["f"], ["y"]),
        ],
        {"x": [2, 3, 8], "row": [4, 1, 3]},
        {"y": [2, 3, 4]},
    )
    after = applied(before, SinkTransposes(), Simplify())
    assert operators(after)["Transpose"] == 1
    feed = {
        "x": rng.standard_normal((2, 3, 8), np.float32),
        "row": rng.standard_normal((4, 1, 3), np.float32),
    }
    assert same_numbers(before, after, feed, 0)


def test_a_transpose_stays_where_the_other_side_is_as_large(rng):
    before = graph(
        [
            node("Transpose", ["x"], ["a"], perm=SWAP),
            node("Add", ["a", "z"], ["b"]),
            node("Relu", ["b"], ["y"]),
        ],
        {"x": ["B", "T", 8], "z": ["B", 8, "T"]},
        {"y": ["B", 8, "T"]},
    )
    assert applied(before, SinkTransposes()).graph.node == before.graph.node


def test_two_that_are_both_next_to_nothing_stay():
    before = graph(
        [
            node("Transpose", ["x"], ["a"], perm=SWAP),
            node("Mul", ["a", "z"], ["b"]),
            node("Relu", ["b"], ["y"]),
        ],
        {"x": ["B", "T", 1], "z": ["B", 1, "T"]},
        {"y": ["B", 1, "T"]},
    )
    assert applied(before, SinkTransposes()).graph.node == before.graph.node


def test_a_transpose_that_others_read_stays():
    before = graph(
        [
            node("Transpose", ["x"], ["a"], perm=SWAP),
            node("Relu", ["a"], ["b"]),
            node("MatMul", ["b", "x"], ["c"]),
            node("MatMul", ["a", "x"], ["d"]),
            node("Add", ["c", "d"], ["y"]),
        ],
        {"x": ["B", 8, 8]},
        {"y": ["B", 8, 8]},
    )
    assert applied(before, SinkTransposes()).graph.node == before.graph.node


def test_an_output_keeps_its_name_and_layout(rng):
    before = graph(
        [node("Transpose", ["x"], ["a"], perm=SWAP), node("Relu", ["a"], ["y"])],
        {"x": ["B", "T", 8]},
        {"y": ["B", 8, "T"]},
    )
    assert applied(before, SinkTransposes()).graph.node == before.graph.node
