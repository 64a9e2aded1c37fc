"""Int8 and fp16 versions of an optimized graph, by ONNX Runtime's own tools.

Nodes go by their names, which the passes make unique.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from asrpack.graph.quiet import quiet

# Between a layer that makes logits and a graph's output.
_AFTER_LOGITS = frozenset({"Add", "Cast", "Identity", "LogSoftmax", "Reshape", "Softmax"})
_MIN_TABLE = 4096


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


def matching(model: ModelProto, patterns: Sequence[str]) -> dict[str, set[str]]:
    """For each shell pattern the nodes it names, by their own or their weight's name."""
    return {
        pattern: {
            node.name
            for node in quantizable(model)
            if fnmatchcase(node.name, pattern) or fnmatchcase(node.input[1], pattern)
        }
        for pattern in patterns
    }


def to_int8(model: ModelProto, excluded: set[str]) -> ModelProto:
    """Dynamic quantization of matrix products and LSTMs.

    int8 weights per output channel, uint8 activations per tensor. ONNX Runtime has no int8 GRU.

    Weights are symmetric over [-127, 127], step = max|channel| / 127. An activation that feeds
    several layers is quantized once. Changes ``model``.

    On x86-64 without VNNI, ONNX Runtime's fast kernel for these types saturates at 16 bits; a
    session must set ``session.x64quantprecision`` to 1, which is exact and a little slower there,
    and has no effect where there is VNNI.
    """
    # Imported here: it takes a second, and only int8 builds need it.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    _halve_tables(model)
    with tempfile.TemporaryDirectory(prefix="asrpack-") as folder, quiet():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul", "LSTM"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(excluded),
            extra_options={"MatMulConstBOnly": True, "WeightSymmetric": True},
        )
        return onnx.load(str(path))


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


def to_fp16(model: ModelProto) -> ModelProto:
    """Half precision throughout, with fp32 inputs and outputs.

    For GPUs. A CPU has no fp16 kernels for most operators: ONNX Runtime casts around them, which
    is right but no faster than fp32. Changes ``model``.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = ir.from_proto(
        convert_float_to_float16(
            model, keep_io_types=True, node_block_list=whole_number_nodes(model)
        )
    )
    _bypass_half(half)
    RemoveUnusedNodesPass()(half)
    TopologicalSortPass()(half)  # the casts of inputs come last otherwise
    return ir.to_proto(half)


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
            node.outputs[0].replace_all_uses_with(source)


def _halve_tables(model: ModelProto) -> None:
    """Stores constants that are only looked up (embeddings, positions) in fp16, in place.

    They are a fifth of an int8 file of real size, and 11 bits of a number that is rounded to 8
    for the next product anyway lose nothing. The look-up's result is cast to fp32.
    """
    graph = model.graph
    tables = {
        item.name: item
        for item in graph.initializer
        if item.data_type == TensorProto.FLOAT and math.prod(item.dims) >= _MIN_TABLE
    }
    for node in graph.node:
        for position, name in enumerate(node.input):
            if node.op_type not in ("Gather", "Slice") or position:
                tables.pop(name, None)
    for node in list(graph.node):
        if node.input and node.input[0] in tables:
            full, half = node.output[0], f"{node.output[0]}_half"
            node.output[0] = half
            cast = helper.make_node("Cast", [half], [full], f"{half}_cast", to=TensorProto.FLOAT)
            graph.node.insert(list(graph.node).index(node) + 1, cast)
    for item in tables.values():
        halved = numpy_helper.to_array(item).astype(np.float16)
        item.CopyFrom(numpy_helper.from_array(halved, item.name))
