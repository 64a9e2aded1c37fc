"""Constant folding: what depends on constants alone is worked out once, here.

paddle2onnx wraps parameters in Identity, Reshape, Unsqueeze and Add-of-zero nodes. The
quantizer and the watermark look for weights among a graph's initializers, so folding is what
makes them visible.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass
from onnxscript.optimizer import FOLDED_FROM_KEY, fold_constants_ir

from asrpack.graph.constants import constant, initializer, integers

# Folding these would store what a few numbers describe.
_GROWING = frozenset({"ConstantOfShape", "EyeLike", "Expand", "Range", "Tile"})
_NO_LIMIT = 1 << 62


class FoldConstants(InPlacePass):
    """Evaluates constant subgraphs of any size, except those that would grow the file."""

    def call(self, model: ir.Model) -> PassResult:
        """Folds, turns Constant nodes into initializers, and keeps parameters' names."""
        lift = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
        modified = lift(model).modified
        sizes = {name: _size(value) for name, value in model.graph.initializers.items()}
        modified |= _fold(model)
        modified |= lift(model).modified
        if _fold_splits(model.graph):
            modified |= _fold(model) or True
        # What was folded leaves nodes that feed nothing, and would hide patterns from rules.
        modified |= RemoveUnusedNodesPass()(model).modified
        _restore_names(model.graph, sizes)
        return PassResult(model, modified)


def _fold(model: ir.Model) -> bool:
    return bool(
        fold_constants_ir(
            model,
            onnx_shape_inference=True,
            input_size_limit=_NO_LIMIT,
            output_size_limit=_NO_LIMIT,
            should_fold=lambda node: False if node.op_type in _GROWING else None,
        ).modified
    )


def _fold_splits(graph: ir.Graph) -> bool:
    """onnxscript folds nodes of one output only; paddle2onnx splits constant lists of pads."""
    splits = [node for node in graph if node.op_type == "Split"]
    folded = False
    for node in splits:
        data, sizes = constant(node.inputs[0]), integers((*node.inputs, None)[1])
        if data is None or sizes is None:
            continue
        axis = node.attributes.get_int("axis", 0)
        parts = np.split(data, np.cumsum(sizes)[:-1], axis=axis)
        for output, part in zip(list(node.outputs), parts, strict=True):
            assert output.name is not None
            value = initializer(output.name, part)
            output.replace_all_uses_with(value, replace_graph_outputs=False)
            graph.register_initializer(value)
        graph.remove(node, safe=True)
        folded = True
    return folded


def _size(value: ir.Value) -> int:
    return 0 if value.const_value is None else value.const_value.size


def _restore_names(graph: ir.Graph, sizes: dict[str, int]) -> None:
    """A folded constant that only rearranges one parameter takes that parameter's name."""
    for value in list(graph.initializers.values()):
        sources = [
            name
            for name in value.meta.get(FOLDED_FROM_KEY, ())
            if sizes.get(name) == _size(value) and name not in graph.initializers
        ]
        if len(sources) == 1 and _size(value) > 1:
            value.name = sources[0]
