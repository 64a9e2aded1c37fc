"""Gives recurrent operators the lengths that paddle2onnx loses."""

from __future__ import annotations

import onnx

_OPERATORS = frozenset({"GRU", "LSTM", "RNN"})
# Place of ``sequence_lens`` among their inputs.
_LENGTHS = 4


def give_lengths(graph: onnx.GraphProto, lengths: str) -> None:
    """Makes recurrent operators stop at the end of each row of a padded batch.

    paddle2onnx 2.1.0 leaves the ``sequence_length`` of Paddle's ``rnn`` out: final states would
    be those after the padding, and a backward direction would begin in it.

    Args:
        graph: as paddle2onnx made it; operators that have lengths keep them.
        lengths: the value, int64 (B,), that holds the steps of each row.
    """
    nodes = [node for node in graph.node if node.op_type in _OPERATORS and not _lengths(node)]
    if not nodes:
        return
    # The name may be a graph output's, which is copied from the value at the very end.
    copies = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    source = lengths
    while source in copies:
        source = copies[source]
    cast = onnx.helper.make_node(
        "Cast", [source], [f"{lengths}_int32"], f"{lengths}_int32", to=onnx.TensorProto.INT32
    )
    graph.node.insert(list(graph.node).index(nodes[0]), cast)
    for node in nodes:
        given = [*node.input, *[""] * _LENGTHS][: max(_LENGTHS + 1, len(node.input))]
        given[_LENGTHS] = cast.output[0]
        node.input[:] = given


def _lengths(node: onnx.NodeProto) -> str:
    return node.input[_LENGTHS] if len(node.input) > _LENGTHS else ""
