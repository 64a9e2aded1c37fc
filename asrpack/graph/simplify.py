"""Removes nodes that change nothing, and merges chains of casts, reshapes and transposes."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnx_ir.passes.common import IdentityEliminationPass, LiftConstantsToInitializersPass
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common

_RULES = RewritePass(
    [
        *common.add_0_rule.commute(),
        common.sub_0_rule,
        *common.mul_by_1_rule.commute(),
        common.div_by_1_rule,
        common.dropout_inference_rule,
        common.cast_cast_rule,
        common.no_op_cast_rule,
        common.no_op_expand_rule,
        common.reshape_reshape_rule,
        common.no_op_transpose_rule,
        common.transpose_transpose_rule,
        common.unsqueeze_unsqueeze_rule,
    ]
)


class Simplify(InPlacePass):
    """onnxscript's rules for no-ops and for pairs of one kind, until none applies."""

    def call(self, model: ir.Model) -> PassResult:
        """Leaves neither Identity nor Constant nodes behind."""
        modified = False
        while _RULES(model).modified:
            IdentityEliminationPass()(model)
            modified = True
        lift = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
        identities = IdentityEliminationPass()(model).modified
        return PassResult(model, lift(model).modified or identities or modified)
