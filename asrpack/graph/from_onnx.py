"""Reads a graph of another toolkit in the form that the passes take: fp32, a recent opset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper, version_converter

from asrpack.errors import InputError

# The first where Squeeze, Unsqueeze and ReduceSum take their axes as inputs.
LEAST_OPSET = 13
_WANTED_OPSET = 17


def load(path: Path) -> onnx.ModelProto:
    """Reads a graph with its external data; half precision becomes fp32.

    A build chooses the precision that ships; fp16 rounded from fp32 loses nothing by going back.

    Raises:
        InputError: its opset is too old to be raised.
    """
    model = onnx.load(str(path))
    opset = next((item.version for item in model.opset_import if item.domain == ""), 1)
    if opset < LEAST_OPSET:
        try:
            model = version_converter.convert_version(model, _WANTED_OPSET)
        except Exception as error:  # C++ classes without a common base
            lines = str(error).splitlines() or [type(error).__name__]
            raise InputError(
                f"opset {opset} cannot be raised to {_WANTED_OPSET}: {lines[0]}",
                code="onnx-too-old",
                place=str(path),
                remedy=f"export the model again with opset_version={_WANTED_OPSET}",
            ) from error
    _to_fp32(model.graph)
    return model


def _to_fp32(graph: onnx.GraphProto) -> None:
    del graph.value_info[:]
    for tensor in graph.initializer:
        _raise(tensor)
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        _raise_node(node)


def _raise_node(node: NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            _raise(attribute.t)
        elif attribute.type == onnx.AttributeProto.GRAPH:
            _to_fp32(attribute.g)
        elif attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT


def _raise(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT16:
        array = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
