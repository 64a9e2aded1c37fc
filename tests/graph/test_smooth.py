from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from asrpack.graph.activations import OpenGraph
from asrpack.graph.smooth import migrations, smooth
from tests.graph.quantization.test_static import copy, static
from tests.graph.small import graph, initializers, run

node = helper.make_node


@pytest.fixture
def model(rng):
    """Norm to two layers; layer, ReLU, layer; a norm that a residual reads, too."""
    weights = {
        "n.w": rng.uniform(0.5, 2, 16).astype(np.float32),
        "n.b": rng.standard_normal(16, np.float32),
        "r.w": np.ones(8, np.float32),
        "r.b": np.zeros(8, np.float32),
        "up.b": rng.standard_normal(32, np.float32),
        **{
            name: 0.3 * rng.standard_normal(shape, np.float32)
            for name, shape in {"q": (16, 8), "up": (16, 32), "down": (32, 8), "o": (8, 8)}.items()
        },
    }
    weights["n.w"][3] = 60  # a channel far larger than the others
    return graph(
        [
            node("LayerNormalization", ["x", "n.w", "n.b"], ["n"], axis=-1),
            node("MatMul", ["n", "q"], ["a"], name="q"),
            node("MatMul", ["n", "up"], ["b"], name="up"),
            node("Add", ["b", "up.b"], ["c"]),
            node("Relu", ["c"], ["d"]),
            node("MatMul", ["d", "down"], ["e"], name="down"),
            node("Add", ["a", "e"], ["f"]),
            node("LayerNormalization", ["f", "r.w", "r.b"], ["g"], axis=-1),
            node("MatMul", ["g", "o"], ["h"], name="o"),
            node("Add", ["g", "h"], ["y"]),
        ],
        {"x": ["B", "T", 16]},
        {"y": ["B", "T", 8]},
        weights,
    )


@pytest.fixture
def feed(rng):
    return {"x": rng.standard_normal((3, 20, 16), np.float32)}


def largest(model, feed):
    names = [item.tensor for item in migrations(model)]
    tensors = OpenGraph(model, names, "g").run(feed)[1]
    return {name: np.abs(values).max(axis=(0, 1)) for name, values in tensors.items()}


def test_what_can_be_smoothed(model):
    found = {item.tensor: (item.makers, item.weights) for item in migrations(model)}
    assert found == {
        "n": (("n.w", "n.b"), ("q", "up")),
        "d": (("up.b", "up"), ("down",)),
    }


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_function_stays_and_the_factors_tell_what_changed(model, feed, alpha):
    after = copy(model)
    factors = smooth(after, alpha, largest(model, feed))
    before, now = run(model, feed)[0], run(after, feed)[0]
    np.testing.assert_allclose(now, before, atol=1e-4)
    stored = initializers(model)
    for name, value in initializers(after).items():
        np.testing.assert_allclose(value, stored[name] * factors.get(name, 1), rtol=1e-6)
    assert set(factors) == {"n.w", "n.b", "q", "up", "up.b", "down"}


def test_an_outlier_channel_costs_int8_less(model, feed):
    after = copy(model)
    smooth(after, 0.5, largest(model, feed))
    seen, now = largest(model, feed)["n"], largest(after, feed)["n"]
    assert now.max() / np.median(now) < 0.3 * seen.max() / np.median(seen)
    exact = run(model, feed)[0]
    plain, smoothed = (
        np.abs(run(static(item, feed, "matmul"), feed)[0] - exact).mean() for item in (model, after)
    )
    assert smoothed < 0.7 * plain


def test_a_channel_that_is_always_zero_is_left_alone(model, feed):
    seen = largest(model, feed)
    seen["n"][5] = 0
    factors = smooth(copy(model), 0.5, seen)
    assert factors["n.w"][5] == 1
    assert all(np.isfinite(item).all() for item in factors.values())
