"""Passes on convolutions: bias, rank, and pointwise to MatMul."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from asrpack.graph.conv1d import ReduceConvRank
from asrpack.graph.conv_bias import FoldConvBias
from asrpack.graph.pointwise_conv import PointwiseConvToMatMul
from tests.graph.small import applied, graph, initializers, operators, same_numbers

node = helper.make_node
FEED_SHAPE = (2, 4, 9)


def conv_and_add(rng, addend, **more):
    return graph(
        [node("Conv", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])],
        {"x": ["B", 4, "T"]},
        {"y": ["B", 6, "U"], **more},
        {"w": rng.standard_normal((6, 4, 3), np.float32), "b": addend},
    )


@pytest.mark.parametrize("shape", [(1, 6, 1), (6, 1)])
def test_an_add_per_channel_becomes_the_bias(rng, shape):
    before = conv_and_add(rng, rng.standard_normal(shape, np.float32))
    after = applied(before, FoldConvBias())
    assert operators(after) == {"Conv": 1}
    assert initializers(after).keys() == {"w", "b"}
    assert same_numbers(before, after, {"x": rng.standard_normal(FEED_SHAPE, np.float32)})


@pytest.mark.parametrize("shape", [(1, 1, 7), (1, 6, 7), (2, 6, 1)])
def test_an_add_that_is_not_per_channel_stays(rng, shape):
    before = conv_and_add(rng, rng.standard_normal(shape, np.float32))
    assert operators(applied(before, FoldConvBias())) == {"Conv": 1, "Add": 1}


def test_an_add_stays_where_the_sum_without_it_is_an_output(rng):
    addend = rng.standard_normal((1, 6, 1), np.float32)
    before = conv_and_add(rng, addend, h=["B", 6, "U"])
    assert operators(applied(before, FoldConvBias())) == {"Conv": 1, "Add": 1}


def detour(rng, weight, axis, take=None, **attributes):
    """Conv1D as Paddle computes it."""
    return graph(
        [
            node("Unsqueeze", ["x", "put"], ["x4"]),
            node("Conv", ["x4", "w", "b"], ["y4"], **attributes),
            node("Squeeze", ["y4", "take"], ["y"]),
        ],
        {"x": ["B", 4, 9]},
        {"y": ["B", 8, "U"]},
        {
            "put": np.array([axis]),
            "take": np.array([axis if take is None else take]),
            "w": weight,
            "b": rng.standard_normal(8, np.float32),
        },
    )


@pytest.mark.parametrize(
    ("shape", "axis", "pads"),
    [((8, 1, 1, 3), -2, [0, 1, 0, 2]), ((8, 1, 3, 1), -1, [1, 0, 2, 0])],
)
def test_a_conv_over_an_inserted_dimension_loses_it(rng, shape, axis, pads):
    weight = rng.standard_normal(shape, np.float32)
    before = detour(rng, weight, axis, pads=pads, group=4, strides=[2, 2], dilations=[2, 2])
    after = applied(before, ReduceConvRank())
    assert operators(after) == {"Conv": 1}
    assert initializers(after)["w"].shape == (8, 1, 3)
    assert same_numbers(before, after, {"x": rng.standard_normal(FEED_SHAPE, np.float32)})


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((8, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
        # A stride of 2 leaves one row, which is padding alone.
        ((8, 4, 1, 3), {"pads": [1, 1, 0, 1], "strides": [2, 1]}),
        ((8, 4, 1, 3), {"auto_pad": "SAME_UPPER"}),
    ],
)
def test_a_conv_that_reaches_along_the_inserted_dimension_stays(rng, shape, options):
    before = detour(rng, rng.standard_normal(shape, np.float32), -2, **options)
    assert operators(applied(before, ReduceConvRank())) == operators(before)


def test_a_conv_that_gives_up_another_dimension_stays(rng):
    before = detour(rng, rng.standard_normal((8, 4, 1, 9), np.float32), -2, take=-1)
    assert operators(applied(before, ReduceConvRank())) == operators(before)


def pointwise(rng, shape=(6, 4, 1), channels=4, bias=True, **attributes):
    spatial = ["T", "F"][: len(shape) - 2]
    return graph(
        [node("Conv", ["x", "w", "b"] if bias else ["x", "w"], ["y"], **attributes)],
        {"x": ["B", channels, *spatial]},
        {"y": ["B", shape[0], *(name + "2" for name in spatial)]},
        {
            "w": rng.standard_normal(shape, np.float32),
            **({"b": rng.standard_normal(shape[0], np.float32)} if bias else {}),
        },
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6, 4, 1), (6, 4, 1, 1)])
def test_a_pointwise_conv_becomes_a_matmul_by_a_weight_of_the_same_name(rng, shape, bias):
    before = pointwise(rng, shape, bias=bias)
    after = applied(before, PointwiseConvToMatMul())
    assert operators(after) == {"Transpose": 2, "MatMul": 1, **({"Add": 1} if bias else {})}
    np.testing.assert_array_equal(
        initializers(after)["w"], initializers(before)["w"].reshape(6, 4).T
    )
    feed = {"x": rng.standard_normal((2, 4, 9, 5)[: len(shape)], np.float32)}
    assert same_numbers(before, after, feed)


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (6, 4, 3)},
        {"shape": (6, 4, 1, 3)},
        {"shape": (6, 2, 1), "group": 2},
        {"strides": [2]},
        {"pads": [1, 1]},
    ],
)
def test_other_convs_stay(rng, options):
    before = pointwise(rng, **options)
    assert operators(applied(before, PointwiseConvToMatMul())) == {"Conv": 1}


def test_a_pointwise_conv_by_a_computed_weight_stays():
    before = graph(
        [node("Conv", ["x", "w"], ["y"])],
        {"x": ["B", 4, "T"], "w": [6, 4, 1]},
        {"y": ["B", 6, "T"]},
    )
    assert operators(applied(before, PointwiseConvToMatMul())) == {"Conv": 1}
