from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from asrpack.graph.quantization.dynamic import to_int8
from asrpack.graph.quantization.layers import quantizable
from tests.graph.small import graph, initializers, operators, run

node = helper.make_node


def convolution(rng, channels=32, kernel=(3, 3), strides=(2, 2), bias=True, **attributes):
    """One layer on (B, channels, T, F); or on (B, channels, T)."""
    axes = len(kernel)
    weight = rng.standard_normal((24, channels, *kernel)).astype(np.float32)
    names = ["x", "w", "b"][: 3 if bias else 2]
    constants = {"w": weight, "b": rng.standard_normal(24).astype(np.float32)}
    return graph(
        [node("Conv", names, ["y"], name="conv", strides=strides, **attributes)],
        {"x": ["B", channels, *"TF"[:axes]]},
        {"y": ["B", 24, *"UG"[:axes]]},
        {name: constants[name] for name in names[1:]},
    )


@pytest.mark.parametrize(
    ("kernel", "strides", "size"),
    [
        ((3, 3), (2, 2), (21, 19)),
        ((3, 3), (2, 2), (20, 20)),
        ((5, 5), (3, 3), (5, 7)),
        ((3, 1), (1, 2), (9, 4)),
        ((5,), (2,), (12,)),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_windows_as_rows_give_the_convolution(rng, kernel, strides, size, bias):
    model = convolution(rng, kernel=kernel, strides=strides, bias=bias)
    x = rng.standard_normal((2, 32, *size)).astype(np.float32)
    expected = run(model, {"x": x})[0]
    after = to_int8(model, set())
    assert operators(after)["MatMulInteger"] == operators(after)["DynamicQuantizeLinear"] == 1
    assert "Conv" not in operators(after)
    found = run(after, {"x": x}, int8=True)[0]
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()


def test_the_matrix_has_the_kernels_name_and_a_step_for_each_output(rng):
    stored = initializers(to_int8(convolution(rng), set()))
    assert stored["w_quantized"].dtype == np.int8
    assert stored["w_quantized"].shape == (3 * 3 * 32, 24)
    assert stored["w_scale"].shape == (24,)
    assert not stored["w_zero_point"].any()
    assert "w" not in stored


@pytest.mark.parametrize(
    "unfit",
    [
        {"channels": 8},
        {"pads": [1, 1, 1, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"dilations": [2, 2]},
    ],
)
def test_what_does_not_fit_stays(rng, unfit):
    model = convolution(rng, **unfit)
    assert quantizable(model) == []
    assert operators(to_int8(model, set()))["Conv"] == 1


def test_groups_stay(rng):
    model = graph(
        [node("Conv", ["x", "w"], ["y"], name="conv", group=2)],
        {"x": ["B", 64, "T"]},
        {"y": ["B", 24, "U"]},
        {"w": rng.standard_normal((24, 32, 3)).astype(np.float32)},
    )
    assert quantizable(model) == []


def test_an_excluded_convolution_stays(rng):
    assert operators(to_int8(convolution(rng), {"conv"}))["Conv"] == 1


def test_a_channel_of_zeros_stays_zero(rng):
    model = convolution(rng, bias=False)
    weight = initializers(model)["w"].copy()
    weight[5] = 0
    model.graph.initializer[0].raw_data = weight.tobytes()
    found = run(to_int8(model, set()), {"x": np.ones((1, 32, 9, 9), np.float32)}, int8=True)[0]
    assert not found[:, 5].any() and np.isfinite(found).all()
