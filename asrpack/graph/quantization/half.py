"""Half precision, by ONNX Runtime's converter."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir
from onnx import ModelProto, TensorProto
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass


def to_fp16(model: ModelProto, kept: Collection[str] = ()) -> ModelProto:
    """Half precision throughout, with fp32 inputs and outputs.

    For GPUs. A CPU has no fp16 kernels for most operators: ONNX Runtime casts around them, which
    is right but no faster than fp32. Changes ``model``.

    Args:
        kept: names of further nodes that stay fp32, such as those that ``overflow.py`` finds.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = ir.from_proto(
        convert_float_to_float16(
            model, keep_io_types=True, node_block_list=[*whole_number_nodes(model), *kept]
        )
    )
    _bypass_half(half)
    RemoveUnusedNodesPass()(half)
    TopologicalSortPass()(half)  # the casts of inputs come last otherwise
    return ir.to_proto(half)


def whole_number_nodes(model: ModelProto) -> list[str]:
    """Names of the nodes that a whole number is made of in floating point.

    paddle2onnx divides lengths as floats; in fp16 there is no 2049 frames.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    pending = [
        node
        for node in model.graph.node
        if node.op_type == "Cast" and node.attribute[0].i in (TensorProto.INT32, TensorProto.INT64)
    ]
    found: dict[str, None] = {}
    while pending:
        node = pending.pop()
        if node.name not in found:
            found[node.name] = None
            pending.extend(producers[name] for name in node.input if name in producers)
    return list(found)


def _bypass_half(model: ir.Model) -> None:
    """Joins fp32 nodes directly where the converter goes by fp16 between them."""
    for node in model.graph:
        down = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if down is None or (node.op_type, down.op_type) != ("Cast", "Cast"):
            continue
        to = down.attributes.get_int("to"), node.attributes.get_int("to")
        source = down.inputs[0]
        assert source is not None
        if to == (ir.DataType.FLOAT16, ir.DataType.FLOAT) and source.dtype == ir.DataType.FLOAT:
            if node.outputs[0].is_graph_output():
                node.replace_input_with(0, source)
            else:
                node.outputs[0].replace_all_uses_with(source)
