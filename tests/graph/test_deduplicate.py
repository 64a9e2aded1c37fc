from __future__ import annotations

import numpy as np
from onnx import helper

from asrpack.graph.deduplicate import Deduplicate
from tests.graph.small import applied, graph, initializers, operators, same_numbers

node = helper.make_node


def twice(weight, axes):
    return graph(
        [
            node("Unsqueeze", ["x", "axes1"], ["a"]),
            node("Unsqueeze", ["x", "axes2"], ["b"]),
            node("MatMul", ["a", "w1"], ["c"]),
            node("MatMul", ["b", "w2"], ["d"]),
            node("Add", ["c", "d"], ["y"]),
        ],
        {"x": [3, 8]},
        {"y": [1, 3, 8]},
        {"axes1": np.array([0]), "axes2": np.array(axes), "w1": weight, "w2": weight},
    )


def test_equal_computations_are_done_once_and_weights_keep_a_name_each(rng):
    before = twice(rng.standard_normal((8, 8), np.float32), [0])
    after = applied(before, Deduplicate())
    assert operators(after) == {"Unsqueeze": 1, "MatMul": 2, "Add": 1}
    assert initializers(after).keys() == {"axes1", "w1", "w2"}
    assert same_numbers(before, after, {"x": rng.standard_normal((3, 8), np.float32)})


def test_different_computations_stay():
    before = graph(
        [
            node("Transpose", ["x"], ["a"], perm=[0, 1]),
            node("Transpose", ["x"], ["b"], perm=[1, 0]),
            node("Add", ["a", "b"], ["y"]),
        ],
        {"x": [3, 3]},
        {"y": [3, 3]},
    )
    assert operators(applied(before, Deduplicate())) == {"Transpose": 2, "Add": 1}
