"""A graph in which every layer's int8 rounding can be switched on by itself.

One session then measures any layer, or any set of them: nothing is quantized and loaded anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from asrpack.graph.quantization.layers import quantizable
from asrpack.graph.symmetric import quantize_channels

SWITCHES = "asrpack_switches"


@dataclass(frozen=True)
class Layer:
    """A node whose weights can become int8.

    Attributes:
        node: its name.
        weight: its weight's name.
        kind: the operator.
        size: how many weights.
    """

    node: str
    weight: str
    kind: str
    size: int


def layers(model: ModelProto) -> list[Layer]:
    """The layers of a graph, in its order."""
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    return [
        Layer(node.name, node.input[1], node.op_type, int(np.prod(shapes[node.input[1]])))
        for node in quantizable(model)
    ]


def switched(model: ModelProto) -> ModelProto:
    """Adds an input ``SWITCHES``, bool (layers,): which layers compute as int8 does.

    A layer that is on sees its input and its weight rounded as dynamic quantization rounds them
    (uint8 per tensor, int8 per output channel); the product is in fp32. Changes ``model``.
    """
    graph = model.graph
    weights = {item.name: item for item in graph.initializer}
    nodes = quantizable(model)
    rounded: dict[str, str] = {}
    made: dict[str, list[NodeProto]] = {}
    for index, node in enumerate(nodes):
        before: list[NodeProto] = []
        switch = f"asrpack_switch_{index}"
        graph.initializer.append(numpy_helper.from_array(np.int64(index), f"{switch}_place"))
        before.append(helper.make_node("Gather", [SWITCHES, f"{switch}_place"], [switch], axis=0))
        x, weight = node.input[0], node.input[1]
        if x not in rounded:
            rounded[x] = f"asrpack_rounded_{index}"
            before += _round(x, rounded[x])
        before += _weight(graph, numpy_helper.to_array(weights[weight]), f"{switch}_weight", node)
        for position, source in ((0, rounded[x]), (1, f"{switch}_weight")):
            chosen = f"{switch}_input_{position}"
            before.append(
                helper.make_node("Where", [switch, source, node.input[position]], [chosen])
            )
            node.input[position] = chosen
        made[node.name] = before
    ordered: list[NodeProto] = []
    for node in graph.node:
        ordered += [*made.get(node.name, ()), node]
    del graph.node[:]
    graph.node.extend(ordered)
    graph.input.append(helper.make_tensor_value_info(SWITCHES, TensorProto.BOOL, [len(nodes)]))
    del graph.value_info[:]
    return model


def _round(x: str, name: str) -> list[NodeProto]:
    parts = [f"{name}_codes", f"{name}_scale", f"{name}_zero_point"]
    return [
        helper.make_node("DynamicQuantizeLinear", [x], parts),
        helper.make_node("DequantizeLinear", parts, [name]),
    ]


def _weight(graph: GraphProto, values: np.ndarray, name: str, node: NodeProto) -> list[NodeProto]:
    """Codes and the node that makes numbers of them: stored as they ship, a quarter of fp32."""
    axis = values.ndim - 1 if node.op_type == "MatMul" else 0
    codes, steps = quantize_channels(values, axis)
    for label, array in (("codes", codes), ("scale", steps.reshape(-1))):
        graph.initializer.append(numpy_helper.from_array(array, f"{name}_{label}"))
    inputs = [f"{name}_codes", f"{name}_scale"]
    return [helper.make_node("DequantizeLinear", inputs, [name], axis=axis)]
