"""A Conv over a dimension of size 1 that was put in for it becomes a Conv of one rank less.

Paddle computes Conv1D as ``squeeze(conv2d(unsqueeze(x)))``.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewritePass, RewriteRuleClassBase

from asrpack.graph.constants import constant, derived_name, integers


def _spatial_axis(axes: ir.Value, rank: int) -> int | None:
    """Which spatial dimension (0 is the one after batch and channel) a constant axis names."""
    found = integers(axes)
    if found is None or len(found) != 1:
        return None
    axis = found[0] % rank - 2
    return axis if axis >= 0 else None


class _InsertedDimension(RewriteRuleClassBase):
    def pattern(
        self, op: Any, x: ir.Value, weight: ir.Value, put: ir.Value, taken: ir.Value
    ) -> Any:
        conv = op.Conv(op.Unsqueeze(x, put), weight, _allow_other_inputs=True, _outputs=["conv"])
        return op.Squeeze(conv, taken)

    def check(
        self,
        context: Any,
        weight: ir.Value,
        put: ir.Value,
        taken: ir.Value,
        conv: ir.Value,
        **_: Any,
    ) -> MatchResult:
        result = MatchResult()
        kernel, node = constant(weight), conv.producer()
        if kernel is None or node is None or kernel.ndim < 4:
            return result.fail("the weight is not constant, or there is one dimension only")
        axis = _spatial_axis(put, kernel.ndim)
        if axis is None or axis != _spatial_axis(taken, kernel.ndim):
            return result.fail("not the same spatial dimension")
        if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            return result.fail("padding depends on the input's size")
        spatial = kernel.ndim - 2
        pads = node.attributes.get_ints("pads", [0] * 2 * spatial)
        if kernel.shape[2 + axis] != 1 or pads[axis] or pads[axis + spatial]:
            return result.fail("the convolution reaches along the inserted dimension")
        return result

    def rewrite(
        self,
        op: Any,
        x: ir.Value,
        weight: ir.Value,
        put: ir.Value,
        taken: ir.Value,
        conv: ir.Value,
    ) -> Any:
        kernel, node = constant(weight), conv.producer()
        assert kernel is not None and node is not None
        axis = _spatial_axis(put, kernel.ndim)
        assert axis is not None
        attributes = dict(node.attributes)
        for name in ("dilations", "kernel_shape", "pads", "strides"):
            if name in attributes:
                kept = list(attributes[name].as_ints())
                for index in range(len(kept) - 1, -1, -1):
                    if index % (kernel.ndim - 2) == axis:
                        del kept[index]
                attributes[name] = ir.AttrInt64s(name, kept)
        squeezed = ir.tensor(kernel.squeeze(2 + axis))
        smaller = op.initializer(squeezed, name=derived_name(weight))
        return op.Conv(x, smaller, *node.inputs[2:], **attributes)


class ReduceConvRank(RewritePass):
    """Undoes Paddle's detour of Conv1D over Conv2D."""

    def __init__(self) -> None:
        super().__init__([_InsertedDimension.rule()])
