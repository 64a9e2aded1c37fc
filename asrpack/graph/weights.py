"""The weight matrices of a graph: MatMul by a constant, in any precision.

A matrix goes by the name of its initializer in the optimized fp32 graph. Stored in fp16 for fp32
arithmetic it is ``NAME_half`` behind a Cast; in blocks, see ``block_weights.py``. Quantized for
integer products, it is three initializers: ``NAME_quantized`` (int8 codes, zero points all 0),
``NAME_scale`` (one per output channel) and ``NAME_zero_point``, as onnxruntime.quantization names
them: MatMulInteger
multiplies by them, or MatMul by what DequantizeLinear makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from asrpack.errors import InputError
from asrpack.graph.block_weights import BlockMatrix, block_matrix
from asrpack.graph.channel_matrix import ChannelMatrix
from asrpack.graph.constants import constant

QUANTIZED = "_quantized"


@dataclass(frozen=True)
class WeightMatrix(ChannelMatrix):
    """One matrix, ``(in, out)``.

    Attributes:
        name: the same before and after quantization.
        stored: initializer with the numbers: float, or int8 codes.
        scale: initializer with one step per output channel, for codes only.
    """

    name: str
    stored: ir.Value
    scale: ir.Value | None

    @property
    def steps(self) -> NDArray[np.float32] | None:
        """Scale per output channel ``(out,)`` of an int8 matrix; None for a float one."""
        if self.scale is None:
            return None
        width = _array(self.stored).shape[1]
        return np.broadcast_to(_array(self.scale).astype(np.float32).reshape(-1), (width,))

    def stored_numbers(self) -> NDArray[np.generic]:
        """Floats or codes."""
        return _array(self.stored)

    def store(self, array: NDArray[np.generic]) -> None:
        """Replaces what is stored; the element type stays."""
        dtype = _array(self.stored).dtype
        self.stored.const_value = ir.tensor(array.astype(dtype), name=self.stored.name)


def weight_matrices(model: ir.Model, place: str) -> list[WeightMatrix | BlockMatrix]:
    """All constant matrices that are multiplied by, in the graph's order.

    Args:
        place: what an error calls the graph.

    Raises:
        InputError: codes in a layout that asrpack's quantizer does not write.
    """
    found: dict[str, WeightMatrix | BlockMatrix] = {}
    for node in model.graph:
        if node.op_type == "MatMulNBits":
            matrix = block_matrix(node)
            if matrix is None:
                raise _foreign(node.inputs[1], place)
            found.setdefault(matrix.name, matrix)
            continue
        if node.op_type not in ("MatMul", "MatMulInteger"):
            continue
        full = node.inputs[1]
        if full is None:
            continue
        stored, zero_point, codes = _source(node, full)
        array = constant(stored)
        if stored is None or array is None or array.ndim != 2:
            continue
        name = str(full.name)
        if name in found:
            continue
        if codes:
            found[name] = _quantized(model, stored, zero_point, place)
        else:
            found[name] = WeightMatrix(name, stored, None)
    return list(found.values())


def _source(node: ir.Node, full: ir.Value) -> tuple[ir.Value | None, ir.Value | None, bool]:
    """What is stored of a product's second operand, its zero points, and whether it is codes."""
    if node.op_type == "MatMulInteger":
        return full, node.inputs[3] if len(node.inputs) > 3 else None, True
    maker = full.producer()
    if maker is not None and maker.op_type == "DequantizeLinear":
        return maker.inputs[0], maker.inputs[2], True
    if maker is not None and maker.op_type == "Cast":
        return maker.inputs[0], None, False
    return full, None, False


def _quantized(
    model: ir.Model, stored: ir.Value, zero_point: ir.Value | None, place: str
) -> WeightMatrix:
    name = str(stored.name).removesuffix(QUANTIZED)
    scale = model.graph.initializers.get(f"{name}_scale")
    zeros = np.zeros(1) if zero_point is None else constant(zero_point)
    symmetric = zeros is not None and not np.any(zeros)
    if scale is None or not symmetric or _array(stored).dtype != np.int8:
        raise _foreign(stored, place)
    return WeightMatrix(name, stored, scale)


def _foreign(stored: ir.Value | None, place: str) -> InputError:
    return InputError(
        f"the quantized matrix {stored and stored.name} is not one that asrpack's quantizer wrote",
        code="weights-layout",
        place=place,
        remedy="give a file of asrpack's quantize stage",
    )


def _array(value: ir.Value) -> NDArray[np.generic]:
    array = constant(value)
    assert array is not None, value.name
    return array
