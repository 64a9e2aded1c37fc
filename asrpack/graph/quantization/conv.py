"""Dynamic int8 for convolutions without groups: their windows as rows of one matrix product.

ONNX Runtime has no fast dynamic int8 convolution. The convolutional subsampling is a quarter of a
conformer's products, nearly all of it in one layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from asrpack.graph.constants import constant, initializer
from asrpack.graph.symmetric import quantize_channels
from asrpack.graph.weights import QUANTIZED

_TO_THE_END = 1 << 40


def quantize_convolutions(model: ir.Model, names: Collection[str], limit: int = 127) -> None:
    """Rewrites the named nodes in place, by the same scheme as matrix products.

    The input is quantized once, as a whole; its windows are put side by side as integers. The
    weight (out, in, *kernel) is stored as the matrix (kernel x in, out) under its own name.

    Args:
        names: of convolutions that :func:`asrpack.graph.quantization.layers.is_convolution` takes.
        limit: the greatest code.
    """
    for node in list(model.graph):
        if node.name in names:
            _Rewriting(model.graph, node, limit).apply()


class _Rewriting:
    """Of one node."""

    def __init__(self, graph: ir.Graph, node: ir.Node, limit: int) -> None:
        self.limit = limit
        self.graph = graph
        self.node = node
        weight = node.inputs[1]
        kernel = constant(weight)
        assert weight is not None and kernel is not None
        self.name, self.kernel = str(weight.name), kernel
        self.size = self.kernel.shape[2:]

    def apply(self) -> None:
        """Puts the nodes in the convolution's place."""
        axes = len(self.size)
        x = self.node.inputs[0]
        assert x is not None
        last = self.add("Transpose", [x], perm=[0, *range(2, 2 + axes), 1])
        codes, scale, zero_point = self.add_all("DynamicQuantizeLinear", [last], 3)
        columns = self.add("Concat", self.windows(codes), axis=-1)
        y = self.product(columns, scale, zero_point)
        if (bias := self.bias()) is not None:
            y = self.add("Add", [y, bias])
        y = self.add("Transpose", [y], perm=[0, axes + 1, *range(1, axes + 1)])
        old = self.node.outputs[0]
        old.replace_all_uses_with(y, replace_graph_outputs=True)
        self.graph.remove(self.node, safe=True)

    def windows(self, codes: ir.Value) -> list[ir.Value]:
        """For each place in the kernel what lies under it: (B, *positions, in)."""
        strides = self.node.attributes.get_ints("strides", [1] * len(self.size))
        axes, steps = (
            self.constant("axes", range(1, 1 + len(self.size))),
            self.constant("steps", strides),
        )
        found = []
        for place in itertools.product(*map(range, self.size)):
            after = [size - 1 - index for index, size in zip(place, self.size, strict=True)]
            label = "_".join(map(str, place))
            start = self.constant(f"start_{label}", place)
            end = self.constant(f"end_{label}", [-n if n else _TO_THE_END for n in after])
            found.append(self.add("Slice", [codes, start, end, axes, steps]))
        return found

    def product(self, columns: ir.Value, scale: ir.Value, zero_point: ir.Value) -> ir.Value:
        """The nodes that ONNX Runtime fuses into one, MatMulIntegerToFloat."""
        out = self.kernel.shape[0]
        order = (*range(2, self.kernel.ndim), 1, 0)
        matrix = np.ascontiguousarray(self.kernel.transpose(order).reshape(-1, out))
        codes, steps = quantize_channels(matrix, 1, self.limit)
        weight = self.store(f"{self.name}{QUANTIZED}", codes)
        weight_scale = self.store(f"{self.name}_scale", steps.reshape(-1))
        weight_zero = self.store(f"{self.name}_zero_point", np.zeros(out, np.int8))
        summed = self.add("MatMulInteger", [columns, weight, zero_point, weight_zero])
        summed = self.add("Cast", [summed], to=ir.DataType.FLOAT)
        return self.add("Mul", [summed, self.add("Mul", [scale, weight_scale])])

    def bias(self) -> ir.Value | None:
        """Per output channel."""
        return self.node.inputs[2] if len(self.node.inputs) > 2 else None

    def add(self, operator: str, inputs: Sequence[ir.Value], **attributes: object) -> ir.Value:
        """A node of one output, before the convolution."""
        return self.add_all(operator, inputs, 1, **attributes)[0]

    def add_all(
        self, operator: str, inputs: Sequence[ir.Value], outputs: int, **attributes: object
    ) -> Sequence[ir.Value]:
        """A node before the convolution."""
        made = ir.node(operator, inputs, attributes, num_outputs=outputs)  # type: ignore[arg-type]
        self.graph.insert_before(self.node, made)
        return made.outputs

    def constant(self, label: str, numbers: Sequence[int] | range) -> ir.Value:
        """Whole numbers."""
        return self.store(f"{self.name}.{label}", np.array(numbers, np.int64))

    def store(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        """An initializer."""
        value = initializer(name, array)
        self.graph.register_initializer(value)
        return value
