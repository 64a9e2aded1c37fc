"""Scores of content and of position come from one product instead of two.

Relative positions as PaddleSpeech scores them, without a shift (U2's ``rel_pos``), are
``(q + u) kT + (q + v) pT``. That is ``q (k + p)T + (u kT + v pT)``: half of the products, and
what is left of u and v is one number a key, which goes to the mask.
"""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import MatchResult, RewritePass, RewriteRuleClassBase

from asrpack.graph.constants import constant


def _same_for_each_query(bias: ir.Value) -> bool:
    """Whether a constant holds one row (..., 1, channels) for all queries."""
    array = constant(bias)
    return array is not None and array.ndim > 1 and array.shape[-2] == 1


class _TwoProducts(RewriteRuleClassBase):
    def pattern(
        self, op: Any, q: ir.Value, u: ir.Value, v: ir.Value, k: ir.Value, p: ir.Value
    ) -> Any:
        return op.Add(op.MatMul(op.Add(q, u), k), op.MatMul(op.Add(q, v), p))

    def check(self, context: Any, u: ir.Value, v: ir.Value, **_: Any) -> MatchResult:
        result = MatchResult()
        if not (_same_for_each_query(u) and _same_for_each_query(v)):
            return result.fail("the biases depend on the query")
        return result

    def rewrite(
        self, op: Any, q: ir.Value, u: ir.Value, v: ir.Value, k: ir.Value, p: ir.Value
    ) -> Any:
        by_key = op.Add(op.MatMul(u, k), op.MatMul(v, p))
        return op.Add(op.MatMul(q, op.Add(k, p)), by_key)


class _MaskAfterKeys(RewriteRuleClassBase):
    """Keys and mask are small next to the scores, so they are added up first."""

    def pattern(self, op: Any, q: ir.Value, k: ir.Value, by_key: ir.Value, mask: ir.Value) -> Any:
        return op.Add(op.Add(op.MatMul(q, k), by_key), mask)

    def check(self, context: Any, by_key: ir.Value, **_: Any) -> MatchResult:
        result = MatchResult()
        if not _is_by_key(by_key):
            return result.fail("no numbers by key")
        return result

    def rewrite(self, op: Any, q: ir.Value, k: ir.Value, by_key: ir.Value, mask: ir.Value) -> Any:
        return op.Add(op.MatMul(q, k), op.Add(by_key, mask))


def _is_by_key(value: ir.Value) -> bool:
    """Whether a value is ``u kT + v pT``, as :class:`MergePositionScores` leaves it."""
    node = value.producer()
    if node is None or node.op_type != "Add":
        return False
    products = [side.producer() for side in node.inputs if side is not None]
    return all(
        product is not None
        and product.op_type == "MatMul"
        and product.inputs[0] is not None
        and _same_for_each_query(product.inputs[0])
        for product in products
    )


class MergePositionScores(RewritePass):
    """Rewrites the sum of both products."""

    def __init__(self) -> None:
        super().__init__(list(_TwoProducts.rule().commute()))


class MaskByKey(RewritePass):
    """Adds the mask to the numbers by key. The scale between them must be folded before."""

    def __init__(self) -> None:
        super().__init__(list(_MaskAfterKeys.rule().commute()))
