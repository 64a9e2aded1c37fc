"""Conv followed by Add of one constant per channel becomes a Conv with a bias."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewritePass, RewriteRuleClassBase

from asrpack.graph.constants import constant, derived_name


class _AddAfterConv(RewriteRuleClassBase):
    def pattern(self, op: Any, x: ir.Value, weight: ir.Value, bias: ir.Value) -> Any:
        return op.Add(op.Conv(x, weight, _outputs=["conv"]), bias)

    def check(
        self, context: Any, weight: ir.Value, bias: ir.Value, conv: ir.Value, **_: Any
    ) -> MatchResult:
        result = MatchResult()
        kernel, value = constant(weight), constant(bias)
        if kernel is None or value is None:
            return result.fail("the weight or the addend is not constant")
        per_channel = (1, kernel.shape[0]) + (1,) * (kernel.ndim - 2)
        if value.shape not in (per_channel, per_channel[1:]):
            return result.fail("the addend is not one number per output channel")
        return result

    def rewrite(
        self, op: Any, x: ir.Value, weight: ir.Value, bias: ir.Value, conv: ir.Value
    ) -> Any:
        value = constant(bias)
        node = conv.producer()
        assert value is not None and node is not None
        flat = op.initializer(ir.tensor(value.reshape(-1)), name=derived_name(bias))
        return op.Conv(x, weight, flat, **node.attributes)


class FoldConvBias(RewritePass):
    """Folds the Add that paddle2onnx writes after every convolution."""

    def __init__(self) -> None:
        super().__init__(list(_AddAfterConv.rule().commute()))
