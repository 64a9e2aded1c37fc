from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from asrpack.graph.channels_last import ChannelsLast
from tests.graph.small import applied, graph, initializers, operators, same_numbers

node = helper.make_node
CHANNELS, BANDS, SIZE = 6, 3, 4


def subsampling(rng, shape=(0, 0, CHANNELS * BANDS), perm=(0, 2, 1, 3), start="Conv"):
    convolution = [node("Conv", ["x", "k"], ["c"]), node("Relu", ["c"], ["r"])]
    return graph(
        [
            *(convolution if start == "Conv" else [node("Relu", ["x"], ["r"])]),
            node("Transpose", ["r"], ["t"], perm=perm),
            node("Reshape", ["t", "shape"], ["rows"]),
            node("MatMul", ["rows", "w"], ["y"]),
        ],
        {"x": ["B", 1 if start == "Conv" else CHANNELS, "T", BANDS]},
        {"y": ["B", "T2", SIZE]},
        {
            "k": rng.standard_normal((CHANNELS, 1, 3, 1), np.float32),
            "shape": np.array(shape),
            "w": rng.standard_normal((CHANNELS * BANDS, SIZE), np.float32),
        },
    )


@pytest.mark.parametrize("last", [CHANNELS * BANDS, -1])
def test_the_weights_rows_are_turned_and_not_the_activations(rng, last):
    before = subsampling(rng, (0, 0, last))
    after = applied(before, ChannelsLast())
    turn = next(item for item in after.graph.node if item.op_type == "Transpose")
    assert helper.get_attribute_value(turn.attribute[0]) == [0, 2, 3, 1]
    assert sorted(map(tuple, initializers(after)["w"])) == sorted(
        map(tuple, initializers(before)["w"])
    )
    assert same_numbers(before, after, {"x": rng.standard_normal((2, 1, 9, BANDS), np.float32)})


@pytest.mark.parametrize(
    "options",
    [
        {"shape": (0, -1, CHANNELS * BANDS)},  # rows across frames
        {"perm": (0, 3, 1, 2)},
        {"start": "Relu"},  # no convolution tells the number of channels
    ],
)
def test_other_rows_stay(rng, options):
    before = subsampling(rng, **options)
    after = applied(before, ChannelsLast())
    assert operators(after) == operators(before)
    np.testing.assert_array_equal(initializers(after)["w"], initializers(before)["w"])
