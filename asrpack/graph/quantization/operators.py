"""Which kinds of operators a graph has that can compute in int8."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, TensorProto

from asrpack.graph.quantization.layers import output_layers


def operator_kinds(model: ModelProto) -> dict[str, str]:
    """The nodes that can compute in int8, by name, in the graph's order.

    Returns:
        ``output``: a product by a constant matrix that makes logits; ``matmul``: any other one;
        ``conv`` and ``depthwise_conv``: a convolution by a constant kernel, in one group or in as
        many as there are channels; ``attention``: a product of two activations.
    """
    constants = {
        item.name: item for item in model.graph.initializer if item.data_type == TensorProto.FLOAT
    }
    outputs = output_layers(model)
    kinds = {}
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Conv"):
            continue
        weight = constants.get(node.input[1])
        if node.op_type == "Conv" and weight is not None:
            kinds[node.name] = "conv" if _groups(node) == 1 else "depthwise_conv"
        elif weight is None and node.input[0] not in constants:
            kinds[node.name] = "attention"
        elif weight is not None and len(weight.dims) == 2:
            kinds[node.name] = "output" if node.name in outputs else "matmul"
    return kinds


def activations(model: ModelProto, nodes: set[str]) -> list[str]:
    """The tensors that int8 needs a range of to compute these nodes, each once.

    What goes in, and what comes out of a convolution: ONNX Runtime's int8 kernel for it writes
    int8, that for a product writes fp32.
    """
    constants = {item.name for item in model.graph.initializer}
    found = dict.fromkeys(
        name
        for node in model.graph.node
        if node.name in nodes
        for name in (*node.input, *(node.output if node.op_type == "Conv" else ()))
        if name and name not in constants
    )
    return list(found)


def _groups(node: NodeProto) -> int:
    return next((int(item.i) for item in node.attribute if item.name == "group"), 1)
