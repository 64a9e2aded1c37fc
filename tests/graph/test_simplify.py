from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from asrpack.graph.simplify import Simplify
from tests.graph.small import applied, graph, operators, same_numbers

node = helper.make_node


def test_no_ops_and_cancelling_pairs_go(rng):
    noisy = graph(
        [
            node("Identity", ["x"], ["a"]),
            node("Add", ["a", "zero"], ["b"]),
            node("Mul", ["b", "one"], ["c"]),
            node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
            node("Transpose", ["d"], ["e"], perm=[0, 2, 1]),
            node("Transpose", ["e"], ["f"], perm=[0, 2, 1]),
            node("Relu", ["f"], ["y"]),
        ],
        {"x": ["B", "T", 4]},
        {"y": ["B", "T", 4]},
        {"zero": np.float32(0), "one": np.float32(1)},
    )
    after = applied(noisy, Simplify())
    assert operators(after) == {"Relu": 1}
    assert same_numbers(noisy, after, {"x": rng.standard_normal((2, 3, 4), np.float32)})


def test_what_does_something_stays(rng):
    useful = graph(
        [
            node("Add", ["x", "half"], ["b"]),
            node("Cast", ["b"], ["c"], to=TensorProto.INT64),
            node("Cast", ["c"], ["d"], to=TensorProto.FLOAT),
            node("Transpose", ["d"], ["e"], perm=[1, 2, 0]),
            node("Transpose", ["e"], ["y"], perm=[1, 2, 0]),
        ],
        {"x": ["B", "T", 4]},
        {"y": [4, "B", "T"]},
        {"half": np.float32(0.5)},
    )
    after = applied(useful, Simplify())
    assert operators(after) == {"Add": 1, "Cast": 2, "Transpose": 1}
    assert same_numbers(useful, after, {"x": 9 * rng.standard_normal((2, 3, 4), np.float32)})
