"""A matrix takes a convolution's channels last, as its product makes them.

After the convolutional subsampling each frame's channels and frequencies become one row for a
matrix product, channels outermost. With the matrix's rows in the other order they can be
innermost, and the activations, which are many times the weights, are not moved about.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewritePass, RewriteRuleClassBase

from asrpack.graph.constants import constant, derived_name, integers


class _FlattenedChannels(RewriteRuleClassBase):
    def pattern(self, op: Any, x: ir.Value, shape: ir.Value, weight: ir.Value) -> Any:
        frames = op.Transpose(x, perm=[0, 2, 1, 3])
        return op.MatMul(op.Reshape(frames, shape, _outputs=["rows"]), weight)

    def check(
        self, context: Any, x: ir.Value, shape: ir.Value, weight: ir.Value, rows: ir.Value
    ) -> MatchResult:
        result = MatchResult()
        matrix, node = constant(weight), rows.producer()
        if matrix is None or matrix.ndim != 2:
            return result.fail("the weight is not constant")
        if node is None or node.attributes.get_int("allowzero"):
            return result.fail("a zero in the shape means no rows")
        if integers(shape) not in ((0, 0, matrix.shape[0]), (0, 0, -1)):
            return result.fail("not each frame by itself")
        if _channels(x) is None or matrix.shape[0] % _channels(x):
            return result.fail("the number of channels is not known")
        return result

    def rewrite(self, op: Any, x: ir.Value, shape: ir.Value, weight: ir.Value, **_: Any) -> Any:
        matrix, channels = constant(weight), _channels(x)
        assert matrix is not None and channels is not None
        rows = matrix.reshape(channels, -1, matrix.shape[1]).swapaxes(0, 1)
        turned = np.ascontiguousarray(rows.reshape(matrix.shape))
        b = op.initializer(ir.tensor(turned), name=derived_name(weight))
        return op.MatMul(op.Reshape(op.Transpose(x, perm=[0, 2, 3, 1]), shape), b)


def _channels(x: ir.Value) -> int | None:
    """Channels of what a convolution made, through operators that treat every number alike."""
    node = x.producer()
    while node is not None and node.op_type in ("Relu", "Sigmoid", "Mul"):
        node = None if node.inputs[0] is None else node.inputs[0].producer()
    kernel = constant(node.inputs[1]) if node is not None and node.op_type == "Conv" else None
    return None if kernel is None else int(kernel.shape[0])


class ChannelsLast(RewritePass):
    """Rewrites Transpose, Reshape and MatMul behind a convolution."""

    def __init__(self) -> None:
        super().__init__([_FlattenedChannels.rule()])
