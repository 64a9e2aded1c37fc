"""Matrices in blocks: what ``com.microsoft.MatMulNBits`` multiplies by.

``NAME_Q4`` or ``NAME_Q8`` holds the codes, ``(out, blocks, bytes of a block)``; ``NAME_scales`` a
step for each block, ``(out, blocks)``; ``NAME_zero_points`` the code of 0 of each block, packed
as the codes are, and without it that is the middle one. As onnxruntime.quantization names them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from asrpack.graph.constants import constant

_CODES = re.compile(r"(.+)_Q[48]")


@dataclass(frozen=True)
class BlockMatrix:
    """One matrix, ``(in, out)``. Its codes go from ``-2**(bits - 1)``, as signed numbers do.

    Attributes:
        name: the same before and after quantization.
        stored: initializer with the packed codes, unsigned.
        scale: initializer with the steps.
        zero_point: initializer with the codes of 0, or None.
        rows: numbers of a channel; the last block may have more, which count for nothing.
        bits: of a code, 4 or 8.
        block_size: numbers of a block.
    """

    name: str
    stored: ir.Value
    scale: ir.Value
    zero_point: ir.Value | None
    rows: int
    bits: int
    block_size: int

    @property
    def steps(self) -> NDArray[np.float32]:
        """Step of every number, ``(in, out)``; negative where the quantizer made it so."""
        return self._spread(_array(self.scale).astype(np.float32))

    @property
    def zeros(self) -> NDArray[np.float32]:
        """Code of 0 for every number, ``(in, out)``."""
        scales = _array(self.scale)
        if self.zero_point is None:
            return np.zeros((self.rows, scales.shape[0]), np.float32)
        unpacked = _unpack(_array(self.zero_point).reshape(scales.shape[0], -1), self.bits)
        return self._spread(unpacked[:, : scales.shape[1]] - np.float32(self._middle))

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest code."""
        return -self._middle, self._middle - 1

    def codes(self) -> NDArray[np.int8]:
        """What is stored, ``(in, out)``."""
        packed = _array(self.stored)
        unpacked = _unpack(packed.reshape(packed.shape[0], -1), self.bits).astype(np.int16)
        return (unpacked[:, : self.rows].T - self._middle).astype(np.int8)

    def values(self) -> NDArray[np.float32]:
        """The matrix as the graph multiplies by it."""
        return (self.codes() - self.zeros) * self.steps

    def store(self, array: NDArray[np.generic]) -> None:
        """Replaces the codes; what fills up the last block stays."""
        packed = _array(self.stored)
        unpacked = _unpack(packed.reshape(packed.shape[0], -1), self.bits).copy()
        unpacked[:, : self.rows] = (array.astype(np.int16) + self._middle).T
        if self.bits == 4:
            unpacked = (unpacked[:, ::2] | unpacked[:, 1::2] << 4).astype(np.uint8)
        self.stored.const_value = ir.tensor(unpacked.reshape(packed.shape), name=self.stored.name)

    @property
    def _middle(self) -> int:
        return 1 << (self.bits - 1)

    def _spread(self, blocks: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.repeat(blocks, self.block_size, axis=1)[:, : self.rows].T


def block_matrix(node: ir.Node) -> BlockMatrix | None:
    """What a MatMulNBits node multiplies by; None where asrpack's quantizer did not write it."""
    stored, scale = node.inputs[1], node.inputs[2]
    zero_point = node.inputs[3] if len(node.inputs) > 3 else None
    found = _CODES.fullmatch(str(stored and stored.name))
    bits = node.attributes.get_int("bits", 4)
    if found is None or stored is None or scale is None or bits not in (4, 8):
        return None
    if any(constant(value) is None for value in (stored, scale)):
        return None
    return BlockMatrix(
        found.group(1),
        stored,
        scale,
        zero_point,
        node.attributes.get_int("K", 0),
        bits,
        node.attributes.get_int("block_size", 0),
    )


def _unpack(packed: NDArray[np.generic], bits: int) -> NDArray[np.uint8]:
    """One code a number of bytes ``(out, n)``; the lower half of a byte comes first."""
    codes: NDArray[np.uint8] = packed.astype(np.uint8, copy=False)
    if bits == 8:
        return codes
    return np.stack([codes & 0xF, codes >> 4], axis=-1).reshape(len(codes), -1)


def _array(value: ir.Value) -> NDArray[np.generic]:
    array = constant(value)
    assert array is not None, value.name
    return array
