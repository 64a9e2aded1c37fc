"""A graph's file in memory, in which numbers are replaced where they stand.

Writing a graph of 200 MB takes seconds, most of it protobuf's. Copies that differ in the numbers
of some tensors alone have one file but for those numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from asrpack.graph.files import serialize
from asrpack.graph.stored import GRAPH, INITIALIZER, fields

# onnx.proto, TensorProto.
_NAME, _RAW_DATA = 8, 9


class GraphImage:
    """The bytes that :func:`asrpack.graph.files.save_graph` writes."""

    def __init__(self, model: ir.Model) -> None:
        self._bytes = bytearray(serialize(ir.to_proto(model)))
        self._places = {}
        for graph in fields(memoryview(self._bytes), GRAPH):
            for tensor in fields(graph, INITIALIZER):
                (name,) = fields(tensor, _NAME)
                for data in fields(tensor, _RAW_DATA):
                    self._places[bytes(name).decode()] = data

    def replace(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Puts other numbers of the same shape and type into tensors, by name."""
        for name, array in tensors.items():
            self._places[name][:] = array.reshape(-1).view("u1").data

    def write(self, path: Path) -> None:
        """Writes the file."""
        path.write_bytes(self._bytes)
