"""Transposes go past operators that treat every number alike, to where they cancel.

A conformer's convolution module is written channels first, its products are channels last, and
masks stand between. What is left are the two transposes around the depthwise convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnx_ir.passes.common import ShapeInferencePass

from asrpack.graph.constants import constant

_UNARY = frozenset({"Relu", "Sigmoid", "Tanh"})
_BINARY = frozenset({"Add", "Mul"})


class SinkTransposes(InPlacePass):
    """Moves transposes; :class:`asrpack.graph.simplify.Simplify` removes those that cancel."""

    def call(self, model: ir.Model) -> PassResult:
        """Until none moves."""
        ShapeInferencePass()(model)  # tells masks from activations
        modified = False
        while any(_sink(model.graph, node) for node in list(model.graph)):
            modified = True
        return PassResult(model, modified)


def _sink(graph: ir.Graph, node: ir.Node) -> bool:
    """Swaps a node with the transposes before it, where that can be done."""
    if any(output.is_graph_output() for output in node.outputs):
        return False
    if node.op_type in _UNARY:
        perm = _perm(node.inputs[0])
        if perm is None:
            return False
        _swap(graph, node, perm, [_source(node.inputs[0])])
        return True
    if node.op_type == "Split":
        perm = _perm(node.inputs[0])
        if perm is None:
            return False
        axis = node.attributes.get_int("axis", 0) % len(perm)
        node.attributes["axis"] = ir.AttrInt64("axis", perm[axis])
        _swap(graph, node, perm, [_source(node.inputs[0]), *node.inputs[1:]])
        return True
    return node.op_type in _BINARY and _sink_binary(graph, node)


def _sink_binary(graph: ir.Graph, node: ir.Node) -> bool:
    left, right = node.inputs
    perms = _perm(left), _perm(right)
    perm = perms[0] or perms[1]
    if perm is None:
        return False
    if perms[0] == perms[1]:
        _swap(graph, node, perm, [_source(left), _source(right)])
        return True
    transposed, other = (left, right) if perms[0] else (right, left)
    number = constant(other)
    if number is not None and number.size == 1 and number.ndim < 2:
        _swap(graph, node, perm, [_source(transposed), other])
        return True
    if number is not None or not _is_narrow(other, len(perm)):
        return False
    if _is_narrow(_source(transposed), len(perm)):
        return False  # such as the mask that was turned here before
    turned = ir.node("Transpose", [other], {"perm": _inverse(perm)})
    graph.insert_before(node, turned)
    _swap(graph, node, perm, [_source(transposed), turned.outputs[0]])
    return True


def _is_narrow(value: ir.Value | None, rank: int) -> bool:
    """Whether a value, such as a mask, is as good as nothing to transpose: a dimension is 1."""
    shape = None if value is None else value.shape
    return shape is not None and len(shape) == rank and 1 in shape.dims[1:]


def _perm(value: ir.Value | None) -> tuple[int, ...] | None:
    """The permutation that a value comes from, if nothing else needs the value."""
    node = None if value is None else value.producer()
    if value is None or node is None or node.op_type != "Transpose":
        return None
    if len(value.uses()) != 1 or value.is_graph_output():
        return None
    return tuple(node.attributes.get_ints("perm", ())) or None


def _source(value: ir.Value | None) -> ir.Value | None:
    """What a transpose transposes."""
    assert value is not None
    return _transpose(value).inputs[0]


def _transpose(value: ir.Value) -> ir.Node:
    node = value.producer()
    assert node is not None
    return node


def _inverse(perm: Sequence[int]) -> list[int]:
    return [int(index) for index in np.argsort(perm)]


def _swap(
    graph: ir.Graph, node: ir.Node, perm: Sequence[int], inputs: Sequence[ir.Value | None]
) -> None:
    """Gives a node other inputs, and a transpose to each of its outputs."""
    for index, value in enumerate(inputs):
        before = node.inputs[index]
        node.replace_input_with(index, value)
        if before is not None and before is not value and not before.uses():
            graph.remove(_transpose(before), safe=True)
    for output in node.outputs:
        after = ir.node("Transpose", [output], {"perm": list(perm)})
        made = after.outputs[0]
        output.replace_all_uses_with(made, replace_graph_outputs=True)
        after.replace_input_with(0, output)
        output.shape = None
        graph.insert_after(node, after)
