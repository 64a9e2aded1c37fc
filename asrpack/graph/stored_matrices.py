"""The matrices that any ONNX graph stores, whoever wrote it, in any precision.

:mod:`asrpack.graph.weights` knows the graphs that asrpack writes, and what multiplies by what.
This reads what a graph of unknown origin holds: every constant that is a matrix, and what its
codes stand for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

# Inputs of operators that take codes: place of the codes, of their steps and of their zero points.
_CODED: Mapping[str, tuple[int, int | None, int]] = {
    "DequantizeLinear": (0, 1, 2),
    "MatMulInteger": (1, None, 3),
    "ConvInteger": (1, None, 3),
    "QLinearMatMul": (3, 4, 5),
    "QLinearConv": (3, 4, 5),
    "QGemm": (3, 4, 5),
    "DynamicQuantizeMatMul": (1, 2, 3),
    "MatMulIntegerToFloat": (1, 3, 5),
}
_NUMBERS = frozenset(
    {
        TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE,
        TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4,
        TensorProto.INT16, TensorProto.UINT16,
    }
)  # fmt: skip


@dataclass(frozen=True)
class StoredMatrix:
    """A matrix that was found and not read yet.

    Attributes:
        name: in its file.
        shape: of the matrix, axes of 1 left out.
        read: gives the numbers, float32. Raises ValueError where the file does not hold them.
    """

    name: str
    shape: tuple[int, int]
    read: Callable[[], NDArray[np.float32]]


def matrix_shape(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """A tensor's shape as a matrix's, axes of 1 left out; None where it is none."""
    dims = [size for size in shape if size != 1]
    return (dims[0], dims[1]) if len(dims) == 2 and min(dims) > 0 else None


def stored_matrices(model: onnx.ModelProto, folder: Path | None) -> Iterator[StoredMatrix]:
    """All constants that are matrices.

    Args:
        folder: where external data lies; None where there can be none.
    """
    graph = model.graph
    held = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    held[node.output[0]] = attribute.t
    coded = _coded(graph)
    for name, tensor in held.items():
        node = coded.get(name)
        if node is not None and node.op_type == "MatMulNBits":
            sizes = {item.name: item.i for item in node.attribute}
            shape = matrix_shape((sizes.get("N", 0), sizes.get("K", 0)))
            read = partial(_blocks, node, sizes, held, folder)
        else:
            shape = matrix_shape(tuple(tensor.dims))
            read = partial(_matrix, tensor, node, held, folder)
        if shape is not None and tensor.data_type in _NUMBERS:
            yield StoredMatrix(name, shape, read)


def _coded(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that takes a constant as codes, by the constant's name."""
    found: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        place = 1 if node.op_type == "MatMulNBits" else _CODED.get(node.op_type, (-1,))[0]
        if 0 <= place < len(node.input):
            found.setdefault(node.input[place], node)
    return found


def _matrix(
    tensor: TensorProto,
    node: onnx.NodeProto | None,
    held: Mapping[str, TensorProto],
    folder: Path | None,
) -> NDArray[np.float32]:
    array = _numbers(tensor, folder).astype(np.float32)
    if node is not None:
        _, step, zero = _CODED[node.op_type]
        sizes = {item.name: item.i for item in node.attribute}
        axis = sizes.get("axis", 0 if node.op_type.endswith(("Conv", "ConvInteger")) else 1)
        size = sizes.get("block_size", 0)
        array = array - _spread(_parameter(node, zero, held, folder, 0), array, axis, size)
        steps = _parameter(node, step, held, folder, 1)
        # A product of integers is scaled later, by what ONNX Runtime's quantizer calls so.
        named = held.get(f"{tensor.name.removesuffix('_quantized')}_scale")
        if step is None and named is not None:
            steps = _numbers(named, folder).astype(np.float32)
        array = array * _spread(steps, array, axis, size)
    return array.reshape([size for size in array.shape if size != 1])


def _parameter(
    node: onnx.NodeProto,
    place: int | None,
    held: Mapping[str, TensorProto],
    folder: Path | None,
    absent: float,
) -> NDArray[np.float32]:
    if place is None or place >= len(node.input) or node.input[place] not in held:
        return np.full(1, absent, np.float32)
    return _numbers(held[node.input[place]], folder).astype(np.float32)


def _spread(
    parameter: NDArray[np.float32], array: NDArray[np.float32], axis: int, block_size: int
) -> NDArray[np.float32]:
    """A step or zero point for each number: one for all, one a channel, or one a block."""
    if parameter.size == 1:
        return parameter.reshape(())
    if parameter.ndim == 1:
        return parameter.reshape([-1 if i == axis % array.ndim else 1 for i in range(array.ndim)])
    if not 0 < block_size <= array.shape[axis]:
        raise ValueError("the blocks of its steps have no size")
    count = array.shape[axis]
    return np.repeat(parameter, block_size, axis=axis).take(range(count), axis=axis)


def _blocks(
    node: onnx.NodeProto,
    sizes: Mapping[str, int],
    held: Mapping[str, TensorProto],
    folder: Path | None,
) -> NDArray[np.float32]:
    """What com.microsoft.MatMulNBits multiplies by, ``(N, K)``."""
    width, count = sizes.get("K", 0), sizes.get("N", 0)
    bits, block_size = sizes.get("bits", 4), sizes.get("block_size", 0)
    if bits not in (2, 4, 8) or block_size <= 0:
        raise ValueError(f"codes of {bits} bits in blocks of {block_size}")
    blocks = -(-width // block_size)
    codes = _unpacked(_numbers(held[node.input[1]], folder), bits, count)[:, :width]
    steps = _parameter(node, 2, held, folder, 1).reshape(count, blocks)
    zeros: NDArray[np.float32] = np.full((count, blocks), 1 << (bits - 1), np.float32)
    if len(node.input) > 3 and node.input[3] in held:
        stored = _numbers(held[node.input[3]], folder)
        if stored.dtype == np.uint8:
            stored = _unpacked(stored, bits, count)[:, :blocks]
        zeros = stored.astype(np.float32).reshape(count, blocks)
    spread = [np.repeat(item, block_size, axis=1)[:, :width] for item in (zeros, steps)]
    return (codes - spread[0]) * spread[1]


def _unpacked(packed: NDArray[Any], bits: int, lines: int) -> NDArray[np.float32]:
    """One code a number, the lowest bits of a byte first."""
    data = packed.reshape(lines, -1).astype(np.uint8)
    parts = [(data >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(parts, axis=-1).reshape(lines, -1).astype(np.float32)


def _numbers(tensor: TensorProto, folder: Path | None) -> NDArray[Any]:
    """Contents of a tensor; what it says of its size must be what it has."""
    if tensor.data_location == TensorProto.EXTERNAL:
        if folder is None:
            raise ValueError("it lies in a file of its own, which is not there")
        loaded = TensorProto()
        loaded.CopyFrom(tensor)
        external_data_helper.load_external_data_for_tensor(loaded, str(folder))
        tensor = loaded
    count = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        bits = 4 if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4) else None
        kind = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        wanted = -(-count * bits // 8) if bits else count * _stored_bytes(tensor.data_type, kind)
        if len(tensor.raw_data) != wanted:
            raise ValueError(f"it has {len(tensor.raw_data)} bytes and needs {wanted}")
    return np.asarray(numpy_helper.to_array(tensor))


def _stored_bytes(data_type: int, kind: np.dtype[Any]) -> int:
    # NumPy has no bfloat16: onnx widens it.
    return 2 if data_type == TensorProto.BFLOAT16 else kind.itemsize
