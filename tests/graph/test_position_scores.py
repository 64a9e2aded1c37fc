from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from asrpack.graph.fold_scale import FoldScale
from asrpack.graph.position_scores import MaskByKey, MergePositionScores
from tests.graph.small import applied, graph, operators, same_numbers

node = helper.make_node
BATCH, HEADS, QUERIES, KEYS, SIZE = 3, 2, 5, 7, 4


def attention(rng, queries=1):
    """Relative positions as PaddleSpeech scores them, scaled and masked."""
    return graph(
        [
            node("MatMul", ["x", "w"], ["q"]),
            node("Add", ["q", "u"], ["qu"]),
            node("Add", ["v", "q"], ["qv"]),
            node("MatMul", ["qu", "k"], ["content"]),
            node("MatMul", ["qv", "p"], ["position"]),
            node("Add", ["content", "position"], ["s"]),
            node("Mul", ["s", "scale"], ["t"]),
            node("Add", ["t", "mask"], ["m"]),
            node("Softmax", ["m"], ["y"]),
        ],
        {
            "x": ["B", HEADS, QUERIES, SIZE],
            "k": ["B", HEADS, SIZE, "T"],
            "p": [1, HEADS, SIZE, "T"],
            "mask": ["B", 1, 1, "T"],
        },
        {"y": ["B", HEADS, QUERIES, "T"]},
        {
            "w": rng.standard_normal((SIZE, SIZE), np.float32),
            "u": rng.standard_normal((HEADS, queries, SIZE), np.float32),
            "v": rng.standard_normal((HEADS, queries, SIZE), np.float32),
            "scale": np.float32([0.5]),
        },
    )


@pytest.fixture
def feed(rng):
    mask = np.zeros((BATCH, 1, 1, KEYS), np.float32)
    mask[1, ..., 4:] = -1e4
    return {
        "x": rng.standard_normal((BATCH, HEADS, QUERIES, SIZE), np.float32),
        "k": rng.standard_normal((BATCH, HEADS, SIZE, KEYS), np.float32),
        "p": rng.standard_normal((1, HEADS, SIZE, KEYS), np.float32),
        "mask": mask,
    }


def test_content_and_position_become_one_product(rng, feed):
    before = attention(rng)
    after = applied(before, MergePositionScores(), FoldScale(), MaskByKey())
    # w, u, v and the scores; k + p, u k + v p, the mask to it, and that to the scores.
    assert operators(after) == {"MatMul": 4, "Add": 4, "Softmax": 1}
    last = next(item for item in after.graph.node if item.op_type == "Softmax")
    scores = next(item for item in after.graph.node if item.output[0] == last.input[0])
    assert "mask" not in scores.input  # it went to the numbers by key
    assert same_numbers(before, after, feed, 1e-6)


def test_masking_by_key_a_second_time_changes_nothing(rng):
    after = applied(attention(rng), MergePositionScores(), FoldScale(), MaskByKey())
    assert applied(after, MaskByKey()) == after


def test_a_bias_that_depends_on_the_query_stays(rng):
    before = attention(rng, QUERIES)
    after = applied(before, MergePositionScores())
    assert operators(after) == operators(before)


def test_two_queries_stay(rng):
    before = graph(
        [
            node("Add", ["a", "u"], ["au"]),
            node("Add", ["b", "u"], ["bu"]),
            node("MatMul", ["au", "k"], ["s"]),
            node("MatMul", ["bu", "p"], ["t"]),
            node("Add", ["s", "t"], ["y"]),
        ],
        {"a": ["T", 4], "b": ["T", 4], "k": [4, "U"], "p": [4, "U"]},
        {"y": ["T", "U"]},
        {"u": rng.standard_normal((1, 4), np.float32)},
    )
    assert operators(applied(before, MergePositionScores())) == operators(before)
