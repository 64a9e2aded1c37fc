"""Small graphs for tests of passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx_ir.passes import PassBase

from asrpack.runtime.cpu import cpu_flags, has_vnni

Shape = Sequence[int | str]


def graph(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    as_nodes: bool = False,
) -> onnx.ModelProto:
    """A checked model of float inputs and outputs.

    Args:
        as_nodes: constants are Constant nodes, as paddle2onnx writes them, not initializers.
    """
    constants = constants or {}
    made = list(nodes)
    initializers = []
    for name, value in constants.items():
        tensor = numpy_helper.from_array(value, name)
        if as_nodes:
            made.insert(0, helper.make_node("Constant", [], [name], value=tensor))
        else:
            initializers.append(tensor)
    value_info = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in items]
        for items in (inputs.items(), outputs.items())
    ]
    model = helper.make_model(
        helper.make_graph(made, "small", *value_info, initializers),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def run(
    model: onnx.ModelProto, feed: Mapping[str, np.ndarray], *, int8: bool = False
) -> list[np.ndarray]:
    """What ONNX Runtime makes of it, without optimizations of its own.

    Args:
        int8: with them, and exact: one of them replaces the kernel that saturates.
    """
    options = onnxruntime.SessionOptions()
    if int8 and not has_vnni(cpu_flags()):
        options.add_session_config_entry("session.x64quantprecision", "1")
    elif not int8:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(feed)))


def applied(model: onnx.ModelProto, *passes: PassBase) -> onnx.ModelProto:
    """The model after some passes; still valid ONNX."""
    made = ir.from_proto(model)
    for item in passes:
        item(made)
    after = ir.to_proto(made)
    onnx.checker.check_model(after, full_check=True)
    return after


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each kind."""
    return dict(Counter(node.op_type for node in model.graph.node))


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Constants by name."""
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def same_numbers(
    before: onnx.ModelProto, after: onnx.ModelProto, feed: Mapping[str, Any], limit: float = 1e-5
) -> bool:
    """Whether both give the same outputs."""
    pairs = zip(run(before, feed), run(after, feed), strict=True)
    return all(x.shape == y.shape and np.abs(x - y).max() <= limit for x, y in pairs)
