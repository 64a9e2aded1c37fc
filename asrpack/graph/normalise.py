"""Rewrites the ends of a foreign CTC graph to asrpack's interface; what is between stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from asrpack.graph.constants import initializer
from asrpack.networks.foreign import LOGITS, PROBABILITIES, ForeignEncoder, constant_array
from asrpack.networks.foreign_run import LEAST
from asrpack.networks.interface import GraphSpec, TensorSpec

_DTYPES = {"float32": ir.DataType.FLOAT, "int64": ir.DataType.INT64}


class Ends:
    """Adds nodes before and after a graph."""

    def __init__(self, model: ir.Model, spec: GraphSpec) -> None:
        """Args: ``spec``: of the graph that comes out; its names are freed first."""
        self.graph = model.graph
        self.spec = spec
        self.old_inputs = {str(value.name): value for value in self.graph.inputs}
        self.old_outputs = {str(value.name): value for value in self.graph.outputs}
        self._first = next(iter(self.graph), None)
        _free_names(self.graph, [item.name for item in (*spec.inputs, *spec.outputs)])
        self.inputs = {item.name: _value(item) for item in spec.inputs}
        self._outputs: dict[str, ir.Value] = {}
        self._count = 0

    def before(self, operator: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """A node ahead of the graph's own."""
        node = self._node(operator, inputs, attributes)
        if self._first is None:
            self.graph.append(node)
        else:
            self.graph.insert_before(self._first, node)
        return node.outputs[0]

    def after(self, operator: str, *inputs: ir.Value, **attributes: Any) -> ir.Value:
        """A node behind the graph's own."""
        node = self._node(operator, inputs, attributes)
        self.graph.append(node)
        return node.outputs[0]

    def constant(self, value: Any, dtype: Any = None) -> ir.Value:
        """An initializer."""
        self._count += 1
        name = f"asrpack_constant_{self._count}"
        found = initializer(name, np.asarray(value, dtype))
        self.graph.register_initializer(found)
        return found

    def feed(self, name: str, value: ir.Value) -> None:
        """Gives the old input ``name`` a value, cast to its type."""
        old = self.old_inputs[name]
        if old.dtype is not None and value.dtype != old.dtype:
            value = self.before("Cast", value, to=int(old.dtype))
        old.replace_all_uses_with(value)

    def give(self, name: str, value: ir.Value) -> None:
        """Makes a value the output ``name``."""
        item = next(item for item in self.spec.outputs if item.name == name)
        cast = self.after("Cast", value, to=int(_DTYPES[item.dtype]))
        cast.name, cast.type, cast.shape = name, *_typed(item)
        self._outputs[name] = cast

    def close(self) -> None:
        """Puts the new inputs and outputs in place of the old ones."""
        self.graph.inputs[:] = list(self.inputs.values())
        self.graph.outputs[:] = [self._outputs[item.name] for item in self.spec.outputs]

    def _node(
        self, operator: str, inputs: Sequence[ir.Value], attributes: Mapping[str, Any]
    ) -> ir.Node:
        self._count += 1
        node = ir.node(operator, inputs, dict(attributes), name=f"asrpack_{self._count}")
        node.outputs[0].name = f"asrpack_{self._count}_out"
        return node


def normalise(model: ir.Model, encoder: ForeignEncoder, spec: GraphSpec) -> None:
    """Gives a graph the interface of an asrpack encoder, in place.

    Args:
        model: at least opset 13, in fp32.
        encoder: what the graph's own inputs and outputs are.
        spec: the interface that it gets.
    """
    ends = Ends(model, spec)
    feats, lens = ends.inputs["feats"], ends.inputs["feat_lens"]
    arranged = feats
    if encoder.features_axes == "BDT":
        arranged = ends.before("Transpose", feats, perm=[0, 2, 1])
    elif encoder.features_axes == "B1T":
        arranged = ends.before("Unsqueeze", feats, ends.constant([1], np.int64))
    ends.feed(encoder.features, arranged)
    if encoder.lengths is not None:
        ends.feed(encoder.lengths, lens)
    for name, value in encoder.constants.items():
        _feed_constant(ends, name, value)

    scores = ends.old_outputs[encoder.scores]
    if encoder.scores_axes != "BTV":
        perm = [encoder.scores_axes.index(axis) for axis in "BTV"]
        scores = ends.after("Transpose", scores, perm=perm)
    if encoder.skip:
        start, end = ends.constant([encoder.skip], np.int64), ends.constant([1 << 40], np.int64)
        scores = ends.after("Slice", scores, start, end, ends.constant([1], np.int64))
    if encoder.kind == LOGITS:
        scores = ends.after("LogSoftmax", scores, axis=-1)
    elif encoder.kind == PROBABILITIES:
        least = ends.constant(LEAST, np.float32)
        scores = ends.after("Log", ends.after("Max", scores, least))
    ends.give("ctc_log_probs", scores)
    if encoder.encoder_out is not None:
        ends.give("encoder_out", ends.old_outputs[encoder.encoder_out])
    if encoder.out_lengths is not None:
        given = ends.old_outputs[encoder.out_lengths]
        # A graph for one utterance may give a number without axes.
        ends.give("out_lens", ends.after("Reshape", given, ends.constant([-1], np.int64)))
    else:
        ends.give("out_lens", _share_of(ends, lens, feats, scores))
    ends.close()


def normalise_decoder(model: ir.Model, spec: GraphSpec) -> None:
    """Gives WeNet's rescoring decoder the interface of an asrpack decoder, in place.

    It takes the encoder's output of one utterance, and repeats it for every hypothesis itself.
    """
    ends = Ends(model, spec)
    start, end = ends.constant([0], np.int64), ends.constant([1], np.int64)
    axis = ends.constant([0], np.int64)
    one = ends.before("Slice", ends.inputs["encoder_out"], start, end, axis)
    ends.feed("encoder_out", one)
    ends.feed("hyps", ends.inputs["hyps_in"])
    ends.feed("hyps_lens", ends.inputs["hyps_lens"])
    if "reverse_weight" in ends.old_inputs:
        _feed_constant(ends, "reverse_weight", 0.0)
    ends.give("decoder_log_probs", ends.old_outputs["score"])
    ends.close()


def _feed_constant(ends: Ends, name: str, value: Any) -> None:
    old = ends.old_inputs[name]
    assert old.dtype is not None
    constant = ends.constant(constant_array(value).astype(old.dtype.numpy()))
    free = old.shape is not None and len(old.shape) == 1 and not isinstance(old.shape[0], int)
    if free:
        # One for each utterance.
        shape = ends.before("Shape", ends.inputs["feat_lens"])
        constant = ends.before("Expand", constant, shape)
    old.replace_all_uses_with(constant)


def _share_of(ends: Ends, lens: ir.Value, feats: ir.Value, scores: ir.Value) -> ir.Value:
    """Output frames of each row where the graph does not tell: its share of the longest, up."""
    axis = ends.constant([1], np.int64)
    whole = ends.after("Gather", ends.after("Shape", feats), axis)
    frames = ends.after("Gather", ends.after("Shape", scores), axis)
    one = ends.constant([1], np.int64)
    rounding = ends.after("Sub", whole, one)
    return ends.after("Div", ends.after("Add", ends.after("Mul", lens, frames), rounding), whole)


def _free_names(graph: ir.Graph, names: Sequence[str]) -> None:
    """Renames the graph's own values that have a name of the interface."""
    values = [*graph.inputs, *graph.initializers.values()]
    values += [output for node in graph for output in node.outputs]
    for value in values:
        if value.name in names:
            value.name = f"{value.name}_original"


def _value(item: TensorSpec) -> ir.Value:
    kind, shape = _typed(item)
    return ir.Value(name=item.name, type=kind, shape=shape)


def _typed(item: TensorSpec) -> tuple[ir.TensorType, ir.Shape]:
    return ir.TensorType(_DTYPES[item.dtype]), ir.Shape(item.dims)
