"""The passes together."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import helper
from onnx_ir.passes import InPlacePass

from asrpack.errors import ToolchainError
from asrpack.graph.files import save_graph
from asrpack.graph.passes import NamedPass, run_passes, standard_passes
from tests.graph.small import graph, initializers, operators, same_numbers

node = helper.make_node


@pytest.fixture
def conv_module(rng):
    """A conformer's convolution module as paddle2onnx writes it."""

    def conv1d(name, source, target, shape, **attributes):
        kernel = [1, shape[2]]
        return [
            node("Unsqueeze", [f"{name}.w", "minus2"], [f"{name}.w4"]),
            node("Unsqueeze", [source, "minus2"], [f"{name}.x4"]),
            node("Conv", [f"{name}.x4", f"{name}.w4"], [f"{name}.y4"], kernel_shape=kernel,
                 **attributes),
            node("Reshape", [f"{name}.b", f"{name}.shape"], [f"{name}.b4"]),
            node("Add", [f"{name}.y4", f"{name}.b4"], [f"{name}.z4"]),
            node("Identity", [f"{name}.z4"], [f"{name}.i4"]),
            node("Squeeze", [f"{name}.i4", "minus2"], [target]),
        ]  # fmt: skip

    shapes = {"pw1": (16, 8, 1), "dw": (8, 1, 3), "pw2": (8, 8, 1)}
    constants = {"minus2": np.array([-2])}
    for name, shape in shapes.items():
        constants[f"{name}.w"] = rng.standard_normal(shape, np.float32)
        constants[f"{name}.b"] = rng.standard_normal(shape[0], np.float32)
        constants[f"{name}.shape"] = np.array([1, -1, 1, 1])
    for name in ("scale", "offset", "mean", "variance"):
        constants[f"bn.{name}"] = rng.uniform(0.5, 1.5, 8).astype(np.float32)
    nodes = [
        node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]),
        *conv1d("pw1", "xt", "h1", shapes["pw1"]),
        node("Split", ["h1"], ["a", "b"], axis=1),
        node("Sigmoid", ["b"], ["g"]),
        node("Mul", ["a", "g"], ["h2"]),
        *conv1d("dw", "h2", "h3", shapes["dw"], group=8, pads=[0, 1, 0, 1]),
        node("BatchNormalization", ["h3", *(f"bn.{n}" for n in ("scale", "offset", "mean",
             "variance"))], ["h4"]),
        *conv1d("pw2", "h4", "h5", shapes["pw2"]),
        node("Transpose", ["h5"], ["y"], perm=[0, 2, 1]),
    ]  # fmt: skip
    return graph(nodes, {"x": ["B", "T", 8]}, {"y": ["B", "T", 8]}, constants, as_nodes=True)


def optimized(model):
    made = ir.from_proto(model)
    run_passes(made, standard_passes("encoder"), "encoder.onnx")
    return made


def test_a_conv_module_comes_down_to_two_matmuls_and_one_conv(conv_module, rng):
    after = ir.to_proto(optimized(conv_module))
    # Of six transposes around the pointwise layers, the outer two pairs cancel.
    assert operators(after) == {
        "MatMul": 2, "Add": 2, "Transpose": 2, "Split": 1, "Sigmoid": 1, "Mul": 1, "Conv": 1,
    }  # fmt: skip
    assert {"pw1.w", "pw1.b", "dw.w", "dw.b", "pw2.w", "pw2.b"} == {
        name for name, value in initializers(after).items() if value.dtype == np.float32
    }
    assert same_numbers(conv_module, after, {"x": rng.standard_normal((2, 7, 8), np.float32)})


def test_the_same_graph_gives_the_same_bytes(conv_module, tmp_path):
    for name in ("a", "b"):
        save_graph(optimized(conv_module), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_second_time_changes_nothing(conv_module, tmp_path):
    once = optimized(conv_module)
    save_graph(once, tmp_path / "once")
    run_passes(once, standard_passes("encoder"), "encoder.onnx")
    save_graph(once, tmp_path / "twice")
    assert (tmp_path / "once").read_bytes() == (tmp_path / "twice").read_bytes()


def test_a_pass_that_fails_is_named(conv_module):
    class Faulty(InPlacePass):
        def call(self, model):
            raise KeyError("perm")

    with pytest.raises(ToolchainError) as caught:
        run_passes(ir.from_proto(conv_module), [NamedPass("untangle", Faulty())], "encoder.onnx")
    assert "'untangle'" in caught.value.message
    assert caught.value.place == "encoder.onnx"
    assert caught.value.remedy
