from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from asrpack.graph.quantization.dynamic import to_int8
from asrpack.graph.quantization.switched import SWITCHES, layers, switched
from tests.graph.small import graph, run

node = helper.make_node


@pytest.fixture
def model(rng):
    """A convolution, two layers that share their input, and a layer behind them."""
    return graph(
        [
            node("Conv", ["x", "kernel"], ["c"], name="conv", strides=[2, 2]),
            node("Relu", ["c"], ["r"]),
            node("MatMul", ["r", "q"], ["a"], name="layer.q"),
            node("MatMul", ["r", "k"], ["b"], name="layer.k"),
            node("Add", ["a", "b"], ["s"]),
            node("MatMul", ["s", "out"], ["y"], name="output"),
        ],
        {"x": ["B", 16, "T", 21]},
        {"y": ["B", 24, "U", 12]},
        {
            "kernel": 0.1 * rng.standard_normal((24, 16, 3, 3), np.float32),
            "q": 0.3 * rng.standard_normal((10, 32), np.float32),
            "k": 0.3 * rng.standard_normal((10, 32), np.float32),
            "out": 0.2 * rng.standard_normal((32, 12), np.float32),
        },
    )


def copy(model):
    return type(model).FromString(model.SerializeToString())


def test_layers_are_those_that_int8_covers_in_order(model):
    assert [(item.node, item.weight, item.kind, item.size) for item in layers(model)] == [
        ("conv", "kernel", "Conv", 24 * 16 * 9),
        ("layer.q", "q", "MatMul", 320),
        ("layer.k", "k", "MatMul", 320),
        ("output", "out", "MatMul", 384),
    ]


def test_off_is_fp32_and_on_is_int8(model, rng):
    x = rng.standard_normal((2, 16, 15, 21)).astype(np.float32)
    instrumented = switched(copy(model))
    onnx.checker.check_model(instrumented, full_check=True)

    def switch(*on):
        return run(instrumented, {"x": x, SWITCHES: np.array(on)})[0]

    exact = run(model, {"x": x})[0]
    assert np.array_equal(switch(False, False, False, False), exact)
    names = [item.node for item in layers(model)]
    for index in range(len(names)):
        on = [place == index for place in range(len(names))]
        others = {name for place, name in enumerate(names) if place != index}
        int8 = run(to_int8(copy(model), others), {"x": x}, int8=True)[0]
        assert np.abs(switch(*on) - int8).max() < 1e-4 * np.abs(exact).max()
        assert np.abs(switch(*on) - exact).max() > 1e-4 * np.abs(exact).max()
