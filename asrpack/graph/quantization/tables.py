"""Tables that are only looked up, stored in half precision."""

from __future__ import annotations

import math

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from asrpack.graph.quantization.half_storage import MIN_SIZE, fits_half


def halve_tables(model: ModelProto) -> None:
    """Stores constants that are only looked up (embeddings, positions) in fp16, in place.

    They are a fifth of an int8 file of real size, and 11 bits of a number that is rounded to 8
    for the next product anyway lose nothing; a table that fp16 does not hold stays as it is. The
    look-up's result is cast to fp32.
    """
    graph = model.graph
    tables = {
        item.name: item
        for item in graph.initializer
        if item.data_type == TensorProto.FLOAT and math.prod(item.dims) >= MIN_SIZE
    }
    for node in graph.node:
        for position, name in enumerate(node.input):
            if node.op_type not in ("Gather", "Slice") or position:
                tables.pop(name, None)
    tables = {name: item for name, item in tables.items() if fits_half(numpy_helper.to_array(item))}
    for node in list(graph.node):
        if node.input and node.input[0] in tables:
            full, half = node.output[0], f"{node.output[0]}_half"
            node.output[0] = half
            cast = helper.make_node("Cast", [half], [full], f"{half}_cast", to=TensorProto.FLOAT)
            graph.node.insert(list(graph.node).index(node) + 1, cast)
    for item in tables.values():
        halved = numpy_helper.to_array(item).astype(np.float16)
        item.CopyFrom(numpy_helper.from_array(halved, item.name))
