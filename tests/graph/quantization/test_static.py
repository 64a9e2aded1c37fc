from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from asrpack.graph.activations import OpenGraph
from asrpack.graph.quantization.dynamic import to_int8
from asrpack.graph.quantization.observers import Histogram, MinMax
from asrpack.graph.quantization.operators import activations, operator_kinds
from asrpack.graph.quantization.static import Int8Types, to_static_int8
from asrpack.graph.weights import weight_matrices
from tests.graph.quantization.test_dynamic import recurrent
from tests.graph.small import graph, initializers, operators, run

node = helper.make_node
KINDS = {
    "front": "conv",
    "depthwise": "depthwise_conv",
    "hidden": "matmul",
    "scores": "attention",
    "ctc": "output",
}


@pytest.fixture
def model(rng):
    """A layer of every kind: (B, 16, T) to log-probabilities (B, T, 12)."""
    return graph(
        [
            node("Conv", ["x", "f.w", "f.b"], ["a"], name="front", pads=[1, 1]),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "d.w"], ["c"], name="depthwise", group=32, pads=[1, 1]),
            node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
            node("MatMul", ["t", "h.w"], ["h"], name="hidden"),
            node("Transpose", ["h"], ["k"], perm=[0, 2, 1]),
            node("MatMul", ["h", "k"], ["s"], name="scores"),
            node("Softmax", ["s"], ["p"]),
            node("Mul", ["h", "half"], ["v"]),
            node("MatMul", ["p", "v"], ["m"], name="mixed"),
            node("MatMul", ["m", "c.w"], ["l"], name="ctc"),
            node("LogSoftmax", ["l"], ["y"]),
        ],
        {"x": ["B", 16, "T"]},
        {"y": ["B", "T", 12]},
        {
            "f.w": 0.2 * rng.standard_normal((32, 16, 3), np.float32),
            "f.b": rng.standard_normal(32, np.float32),
            "d.w": 0.5 * rng.standard_normal((32, 1, 3), np.float32),
            "h.w": 0.2 * rng.standard_normal((32, 64), np.float32),
            "c.w": 0.2 * rng.standard_normal((64, 12), np.float32),
            "half": np.float32(0.5),
        },
    )


@pytest.fixture
def feed(rng):
    return {"x": rng.standard_normal((2, 16, 40), np.float32)}


def copy(model):
    return type(model).FromString(model.SerializeToString())


def calibrated(model, feed, nodes):
    observer = MinMax()
    observer.observe(OpenGraph(model, activations(model, nodes), "g").run(feed)[1])
    return observer.ranges()


def static(model, feed, *kinds, types=Int8Types()):  # noqa: B008
    nodes = {name for name, kind in operator_kinds(model).items() if kind in kinds}
    return to_static_int8(copy(model), nodes, calibrated(model, feed, nodes), types)


def test_every_kind_is_told_apart(model):
    assert operator_kinds(model) == {**KINDS, "mixed": "attention"}


def test_ranges_are_needed_of_what_goes_in_and_of_what_a_convolution_gives(model):
    assert activations(model, {"hidden"}) == ["t"]
    assert activations(model, {"front", "scores"}) == ["x", "a", "h", "k"]


@pytest.mark.parametrize("kind", ["matmul", "conv", "depthwise_conv", "attention", "output"])
def test_each_kind_alone_stays_near_fp32(model, feed, kind):
    after = static(model, feed, kind)
    onnx.checker.check_model(after, full_check=True)
    codes = {name for name, value in initializers(after).items() if value.dtype == np.int8}
    weights = {"matmul": "h.w", "conv": "f.w", "depthwise_conv": "d.w", "output": "c.w"}
    if kind in weights:
        assert f"{weights[kind]}_quantized" in codes
    assert not {f"{name}_quantized" for other, name in weights.items() if other != kind} & codes
    assert operators(after)["QuantizeLinear"] >= 1
    difference = np.abs(run(after, feed)[0] - run(model, feed)[0])
    assert 0 < difference.mean() < 0.05


def test_weights_per_channel_symmetric_and_found_again_for_the_watermark(model, feed):
    after = static(model, feed, "matmul", "output")
    exact = initializers(model)
    found = {item.name: item for item in weight_matrices(ir.from_proto(after), "g")}
    assert set(found) == {"h.w", "c.w"}
    for name, item in found.items():
        steps = np.abs(exact[name]).max(axis=0) / 127
        np.testing.assert_allclose(item.steps, steps, rtol=1e-6)
        assert item.codes().dtype == np.int8
        assert np.all(np.abs(item.values() - exact[name]) <= steps * 0.5001)


@pytest.mark.parametrize(
    ("types", "activation", "bound"),
    [
        (Int8Types(), TensorProto.UINT8, 127),
        (Int8Types(signed=True), TensorProto.INT8, 127),
        (Int8Types(reduced=True), TensorProto.UINT8, 64),
    ],
    ids=["U8S8", "S8S8", "7 bits"],
)
def test_types_of_a_cpu(model, feed, types, activation, bound):
    after = static(model, feed, "matmul", "conv", types=types)
    stored = {item.name: item for item in after.graph.initializer}
    quantizers = [item for item in after.graph.node if item.op_type == "QuantizeLinear"]
    assert quantizers
    assert {stored[item.input[2]].data_type for item in quantizers} == {activation}
    for name in ("h.w_quantized", "f.w_quantized"):
        codes = numpy_helper.to_array(stored[name])
        assert codes.dtype == np.int8
        assert np.abs(codes.astype(int)).max() == bound
    assert np.abs(run(after, feed)[0] - run(model, feed)[0]).mean() < 0.1


def test_onnx_runtime_computes_in_int8(model, feed, tmp_path):
    after = static(model, feed, "matmul", "conv", "depthwise_conv", "attention")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(after.SerializeToString(), options)
    made = Counter(item.op_type for item in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert made["QLinearConv"] == 2 and "Conv" not in made
    assert made["MatMul"] == 1  # the output layer
    assert made["MatMulIntegerToFloat"] + made["QLinearMatMul"] == 3


def test_an_activation_of_many_readers_is_quantized_once(rng):
    model = graph(
        [
            node("MatMul", ["x", "q"], ["a"], name="q"),
            node("MatMul", ["x", "k"], ["b"], name="k"),
            node("Add", ["a", "b"], ["y"]),
        ],
        {"x": ["B", 8]},
        {"y": ["B", 8]},
        {name: rng.standard_normal((8, 8), np.float32) for name in "qk"},
    )
    after = static(model, {"x": rng.standard_normal((4, 8), np.float32)}, "matmul")
    assert operators(after)["QuantizeLinear"] == 1


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_histograms_leave_outliers_out_and_nothing_that_was_not_seen_in(rng, method):
    values = np.abs(rng.standard_normal((20, 50, 50), np.float32))
    values[3, 0, 0] = 100
    observer, everything = Histogram(method, 99.9), MinMax()
    for call in values:
        observer.observe({"a": call})
        everything.observe({"a": call})
    assert everything.ranges()["a"] == (values.min(), 100)
    lowest, highest = observer.ranges()["a"]
    assert lowest == values.min()
    assert 1 < highest < 20


def test_calls_without_numbers_are_passed_over(rng):
    empty, some = np.zeros((1, 0), np.float32), rng.standard_normal((1, 90), np.float32)
    for observer in (MinMax(), Histogram("percentile", 99.99)):
        for call in (empty, some, empty):
            observer.observe({"a": call})
        lowest, highest = observer.ranges()["a"]
        assert some.min() <= lowest < highest <= some.max()


def test_an_lstm_behind_a_static_product_is_dynamic(rng):
    model = recurrent(rng, "forward")
    feed = {"x": rng.standard_normal((20, 2, 64), np.float32)}
    after = static(model, feed, "matmul")
    products = {item.name for item in after.graph.node if item.op_type == "MatMul"}
    after = to_int8(after, products)
    assert operators(after)["DynamicQuantizeLSTM"] == operators(after)["DequantizeLinear"] - 1 == 1
    assert np.abs(run(after, feed, int8=True)[0] - run(model, feed)[0]).mean() < 0.02
