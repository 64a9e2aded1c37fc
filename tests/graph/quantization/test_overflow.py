from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from asrpack.graph.quantization.half import to_fp16
from asrpack.graph.quantization.overflow import out_of_range
from tests.graph.small import graph, initializers, run

node = helper.make_node


def network(rng, scale):
    """The second layer's output is ``scale`` times the first's; a norm takes it back."""
    return graph(
        [
            node("MatMul", ["x", "one"], ["a"], name="one"),
            node("Mul", ["a", "scale"], ["b"], name="scaled"),
            node("MatMul", ["b", "two"], ["c"], name="two"),
            node("LayerNormalization", ["c", "gamma"], ["d"], name="norm", epsilon=1e-24),
            node("Where", ["mask", "d", "never"], ["e"], name="masked"),
            node("Softmax", ["e"], ["y"], name="softmax"),
        ],
        {"x": ["B", 64]},
        {"y": ["B", 64]},
        {
            "one": rng.standard_normal((64, 64), np.float32) / 8,
            "two": rng.standard_normal((64, 64), np.float32) / 8,
            "gamma": np.ones(64, np.float32),
            "scale": np.float32(scale),
            "mask": np.arange(64) < 60,
            "never": np.float32(-np.inf),
        },
    )


def found(model, feeds):
    return {item.tensor: item for item in out_of_range(model, feeds)}


@pytest.fixture
def feeds(rng):
    return [{"x": rng.standard_normal((5, 64), np.float32)} for _ in range(2)]


def test_within_range_nothing_is_found(rng, feeds):
    assert found(network(rng, 100.0), feeds) == {}


def test_activations_beyond_range_are_found_with_the_nodes_around_them(rng, feeds):
    items = found(network(rng, 50000.0), feeds)
    assert set(items) == {"scale", "b", "c"}
    assert items["b"].nodes == ("scaled", "two")
    assert items["c"].nodes == ("two", "norm")
    assert items["b"].largest > 65504


def test_activations_that_would_become_zero_are_found(rng, feeds):
    assert set(found(network(rng, 1e-9), feeds)) == {"scale", "b", "c"}


def test_every_feed_counts_and_an_empty_one_is_fine(rng, feeds):
    model = network(rng, 1000.0)
    loud = {"x": 100 * feeds[0]["x"]}
    assert found(model, feeds) == {}
    assert set(found(model, [*feeds, loud])) == {"b", "c"}
    assert found(model, [{"x": np.zeros((0, 64), np.float32)}]) == {}


@pytest.mark.parametrize("scale", [1e6, 1e-9])
def test_what_is_found_stays_fp32_and_repairs_the_output(rng, feeds, scale):
    """Computed in fp16 for real, which ONNX Runtime does not do on a CPU."""
    model = network(rng, scale)
    before = run(model, feeds[0])[0]
    kept = {name for item in out_of_range(model, feeds) for name in item.nodes}
    assert kept == {"scaled", "two", "norm"}

    def converted(nodes):
        return to_fp16(type(model).FromString(model.SerializeToString()), nodes)

    def error(model):
        with np.errstate(all="ignore"):
            outputs = ReferenceEvaluator(model).run(None, feeds[0])[0]
        return np.nan_to_num(np.abs(outputs - before), nan=1).max()

    repaired = converted(kept)
    assert initializers(repaired)["two"].dtype == np.float32
    assert initializers(repaired)["one"].dtype == np.float16
    assert error(repaired) < 0.002
    assert error(converted([])) > 0.05, "it does need the repair"
