"""A pointwise convolution becomes a MatMul, which the int8 quantizer covers.

A kernel of size 1 multiplies each position's channels by one matrix: the same as MatMul on
channels last. Two of these are in every conformer block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewritePass, RewriteRuleClassBase

from asrpack.graph.constants import constant, derived_name


class _PointwiseConv(RewriteRuleClassBase):
    def pattern(self, op: Any, x: ir.Value, weight: ir.Value) -> Any:
        return op.Conv(x, weight, _allow_other_inputs=True, _outputs=["conv"])

    def check(self, context: Any, weight: ir.Value, conv: ir.Value, **_: Any) -> MatchResult:
        result = MatchResult()
        kernel, node = constant(weight), conv.producer()
        if kernel is None or node is None:
            return result.fail("the weight is not constant")
        if any(size != 1 for size in kernel.shape[2:]):
            return result.fail("the kernel covers more than one position")
        if node.attributes.get_int("group", 1) != 1:
            return result.fail("channels are in groups")
        if any(stride != 1 for stride in node.attributes.get_ints("strides", [])):
            return result.fail("positions are skipped")
        if any(node.attributes.get_ints("pads", [])):
            return result.fail("the input is padded")
        return result

    def rewrite(self, op: Any, x: ir.Value, weight: ir.Value, conv: ir.Value) -> Any:
        kernel, node = constant(weight), conv.producer()
        assert kernel is not None and node is not None
        rank = kernel.ndim
        matrix = np.ascontiguousarray(kernel.reshape(kernel.shape[:2]).T)
        b = op.initializer(ir.tensor(matrix), name=derived_name(weight))
        last = op.Transpose(x, perm=[0, *range(2, rank), 1])
        y = op.MatMul(last, b)
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            y = op.Add(y, node.inputs[2])
        return op.Transpose(y, perm=[0, rank - 1, *range(1, rank - 1)])


class PointwiseConvToMatMul(RewritePass):
    """Rewrites Conv with kernel 1, stride 1, no padding and one group."""

    def __init__(self) -> None:
        super().__init__([_PointwiseConv.rule()])
