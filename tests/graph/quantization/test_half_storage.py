from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from asrpack.graph.quantization.dynamic import to_int8
from asrpack.graph.quantization.half_storage import fits_half, store_half
from asrpack.runtime.engines.onnxruntime import open_session
from tests.graph.small import graph, initializers, operators, run

node = helper.make_node


def layers(rng, factor=1.0):
    return graph(
        [
            node("MatMul", ["x", "one"], ["a"], name="one"),
            node("Add", ["a", "bias"], ["b"], name="bias"),
            node("MatMul", ["b", "two"], ["y"], name="two"),
        ],
        {"x": ["B", 80]},
        {"y": ["B", 80]},
        {
            "one": factor * rng.standard_normal((80, 80), np.float32),
            "two": rng.standard_normal((80, 80), np.float32),
            "bias": rng.standard_normal(80, np.float32),
        },
    )


def copy(model):
    return type(model).FromString(model.SerializeToString())


def test_large_weights_are_halved_and_computed_with_in_fp32(rng):
    model = layers(rng)
    after = copy(model)
    assert store_half(after) == []
    assert after.ByteSize() < 0.55 * model.ByteSize()
    stored = initializers(after)
    assert {name: array.dtype for name, array in stored.items()} == {
        "one_half": np.float16,
        "two_half": np.float16,
        "bias": np.float32,
    }
    rounded = copy(model)
    for item in rounded.graph.initializer:
        if item.name != "bias":
            half = stored[f"{item.name}_half"].astype(np.float32)
            item.raw_data = half.tobytes()
    feed = {"x": rng.standard_normal((3, 80), np.float32)}
    np.testing.assert_array_equal(run(after, feed)[0], run(rounded, feed)[0])


def test_the_runtime_folds_the_casts_when_it_loads(rng, tmp_path):
    """What it computes with is fp32; a Cast in each run would cost what fp16 saves."""
    import onnx
    import onnxruntime

    after = layers(rng)
    store_half(after)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    onnxruntime.InferenceSession(
        after.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    assert "Cast" not in operators(onnx.load(tmp_path / "loaded.onnx"))


@pytest.mark.parametrize("factor", [1e6, 1e-7])
def test_a_weight_that_fp16_does_not_hold_stays_fp32_and_is_named(rng, factor):
    model = layers(rng, factor)
    after = copy(model)
    assert store_half(after) == ["one"]
    assert initializers(after)["one"].dtype == np.float32
    feed = {"x": rng.standard_normal((3, 80), np.float32)}
    before = run(model, feed)[0]
    found = open_session(after.SerializeToString(), "small.onnx").run(None, feed)[0]
    assert np.abs(found - before).max() < 2e-3 * np.abs(before).max()


@pytest.mark.parametrize(
    ("array", "fits"),
    [
        ([0.1, 60000.0], True),
        ([0.1, 65520.0], False),
        ([0.5, np.inf], False),
        ([0.0, 0.0], True),
        ([1e-6, 2e-7], False),
        ([1e-6, 1.1], True),
        ([2047.0, 2048.0], True),
        ([2048.0, 2049.0], False),
        ([2048.5, 2049.0], True),
    ],
)
def test_what_fp16_holds(array, fits):
    assert fits_half(np.array(array, np.float32)) is fits


def test_a_table_that_fp16_does_not_hold_stays_fp32_in_int8(rng):
    model = graph(
        [node("Cast", ["ids"], ["index"], to=7), node("Gather", ["embed", "index"], ["y"])],
        {"ids": ["B"]},
        {"y": ["B", 64]},
        {"embed": 1e5 * rng.standard_normal((100, 64), np.float32)},
    )
    assert initializers(to_int8(model, set()))["embed"].dtype == np.float32
