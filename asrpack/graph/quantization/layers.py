"""Which nodes of a graph can be quantized, and which are named."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from onnx import ModelProto, NodeProto, TensorProto

# Between a layer that makes logits and a graph's output.
_AFTER_LOGITS = frozenset({"Add", "Cast", "Identity", "LogSoftmax", "Reshape", "Softmax"})


def quantizable(model: ModelProto) -> list[NodeProto]:
    """MatMul nodes by a constant fp32 matrix, in the graph's order."""
    matrices = {
        item.name
        for item in model.graph.initializer
        if len(item.dims) == 2 and item.data_type == TensorProto.FLOAT
    }
    return [
        node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in matrices
    ]


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
