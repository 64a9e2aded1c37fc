"""Which nodes of a graph can be quantized, and which are named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from onnx import ModelProto, NodeProto, TensorProto, helper

# Between a layer that makes logits and a graph's output.
_AFTER_LOGITS = frozenset({"Add", "Cast", "Identity", "LogSoftmax", "Reshape", "Softmax"})
# The first layer sees one channel: too few products a number to be worth rounding.
_MIN_CHANNELS = 16


def quantizable(model: ModelProto) -> list[NodeProto]:
    """Nodes whose constant fp32 weights can become integers, in the graph's order.

    MatMul by a matrix, and what :func:`is_convolution` takes.
    """
    shapes = {
        item.name: tuple(item.dims)
        for item in model.graph.initializer
        if item.data_type == TensorProto.FLOAT
    }
    return [
        node
        for node in model.graph.node
        if len(node.input) > 1
        and (shape := shapes.get(node.input[1])) is not None
        and ((node.op_type == "MatMul" and len(shape) == 2) or is_convolution(node, shape))
    ]


def is_convolution(node: NodeProto, kernel: Sequence[int]) -> bool:
    """Whether a node is a convolution of many channels without groups or padding."""
    if node.op_type != "Conv" or kernel[1] < _MIN_CHANNELS:
        return False
    given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return (
        given.get("group", 1) == 1
        and given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and not any(given.get("pads", ()))
        and all(size == 1 for size in given.get("dilations", ()))
    )


def output_layers(model: ModelProto) -> set[str]:
    """Names of the MatMul nodes that make logits: behind them only bias, softmax and an output.

    Their errors go straight into scores that are compared with each other, and the field leaves
    them in floating point (FunASR, WeNet).
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    wanted = {node.name for node in quantizable(model)}
    layers = set()
    pending = [(output.name, False) for output in model.graph.output]
    while pending:
        name, normalized = pending.pop()
        node = producers.get(name)
        if node is None:
            continue
        if normalized and node.name in wanted:
            layers.add(node.name)
        elif node.op_type in _AFTER_LOGITS:
            normalized |= node.op_type in ("LogSoftmax", "Softmax")
            pending.extend((source, normalized) for source in node.input)
    return layers


def matching(model: ModelProto, nodes: Collection[str], pattern: str) -> set[str]:
    """Which of these nodes a shell pattern names, by their own or their weight's name."""
    return {
        node.name
        for node in model.graph.node
        if node.name in nodes
        and (fnmatchcase(node.name, pattern) or fnmatchcase(node.input[1], pattern))
    }
