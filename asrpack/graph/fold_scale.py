"""A product by one constant number goes into the constants that its factor is made of.

The halves of a conformer's feed-forwards, the root of the head's size in attention, and the
scale of an embedding. By a power of two, which nearly all of these are, no bit of a result
changes; by another number each weight is rounded once more.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult

from asrpack.graph.constants import constant

# They move numbers, and so give the scaled ones for scaled ones.
_MOVING = frozenset({"Gather", "Reshape", "Transpose", "Unsqueeze"})


class FoldScale(InPlacePass):
    """Removes a Mul where every way to its factor ends at a constant of its own."""

    def call(self, model: ir.Model) -> PassResult:
        """Scales weights in place; they keep their names."""
        modified = False
        for node in list(model.graph):
            found = _scale(node)
            if found is None or node.outputs[0].is_graph_output():
                continue
            factor, scale = found
            constants = _carriers(factor)
            if not constants:
                continue
            for value in constants:
                array = constant(value)
                assert array is not None
                scaled = (array * array.dtype.type(scale)).astype(array.dtype)
                value.const_value = ir.tensor(scaled, name=value.name)
            node.outputs[0].replace_all_uses_with(factor)
            model.graph.remove(node, safe=True)
            modified = True
        return PassResult(model, modified)


def _scale(node: ir.Node) -> tuple[ir.Value, float] | None:
    """The factor and the number of a Mul by one constant number."""
    if node.op_type != "Mul":
        return None
    for factor, number in (node.inputs, reversed(node.inputs)):
        array = constant(number)
        if factor is not None and array is not None and array.size == 1 and array.ndim < 2:
            return factor, float(array.reshape(-1)[0])
    return None


def _is_read_once(value: ir.Value) -> bool:
    """Whether the numbers of a value matter to one input of one node."""
    return sum(use.node.op_type != "Shape" for use in value.uses()) == 1


def _carriers(value: ir.Value | None) -> list[ir.Value]:
    """The constants that ``value`` is proportional to, each used here alone; empty if none."""
    if value is None or value.is_graph_output():
        return []
    array = constant(value)
    if array is not None:
        return [value] if array.dtype.kind == "f" and len(value.uses()) == 1 else []
    node = value.producer()
    if node is None or not _is_read_once(value):
        return []
    if node.op_type in _MOVING:
        return _carriers(node.inputs[0])
    if node.op_type == "MatMul":
        by_weight = constant(node.inputs[1]) is not None
        return _carriers(node.inputs[1 if by_weight else 0])
    if node.op_type == "Add":
        both = [_carriers(side) for side in node.inputs]
        return [value for side in both for value in side] if all(both) else []
    return []
