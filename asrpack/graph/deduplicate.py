"""One node for equal computations, one initializer for equal constants."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, DeduplicateInitializersPass

# Weights keep a name each, even where two happen to be equal.
_SIZE_LIMIT = 16


class Deduplicate(InPlacePass):
    """onnx_ir's two passes; constants only up to the size of axes, shapes and perms."""

    def call(self, model: ir.Model) -> PassResult:
        """Shares constants first, so that nodes which use them compare equal."""
        constants = DeduplicateInitializersPass(size_limit=_SIZE_LIMIT)(model).modified
        nodes = CommonSubexpressionEliminationPass()(model).modified
        return PassResult(model, constants or nodes)
