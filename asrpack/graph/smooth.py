"""Moves outliers of activations into the weights behind them (SmoothQuant, arXiv 2211.10438).

An int8 activation has one step for all channels: one large channel makes it coarse for the rest.
Weights have a step per output channel and room to spare. So every input channel j is divided by
s_j and its row of the weight multiplied by it, which changes nothing in fp32.

The division is folded into the parameters of what makes the activation: a LayerNorm, or a linear
layer with a ReLU behind. Where that also feeds something else (a residual, a state), or is made
otherwise (swish, attention), nothing is moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

Floats = NDArray[np.float32]
_LEAST = 1e-5
_ONE = np.ones(1, np.float32)


@dataclass(frozen=True)
class Migration:
    """One activation that can be smoothed.

    Attributes:
        tensor: its name; (…, C).
        makers: parameters whose last axis makes its channels: scale and bias, or weight and bias.
        weights: matrices (C, out) that read it.
    """

    tensor: str
    makers: tuple[str, ...]
    weights: tuple[str, ...]


def migrations(model: ModelProto) -> list[Migration]:
    """The activations of a graph that can be smoothed, in the graph's order."""
    return _Graph(model).migrations()


def smooth(
    model: ModelProto, alpha: float, largest: Mapping[str, Floats]
) -> dict[str, NDArray[np.float32]]:
    """Migrates in place.

    Args:
        alpha: 0 leaves activations as they are, 1 moves all of their difference.
        largest: for each tensor of :func:`migrations` the largest magnitude per channel (C,).

    Returns:
        What each parameter that changed was multiplied by, in a shape that broadcasts to it.
    """
    stored = {item.name: item for item in model.graph.initializer}
    factors: dict[str, Floats] = {}
    for item in migrations(model):
        rows = np.max(
            [np.abs(numpy_helper.to_array(stored[name])).max(axis=1) for name in item.weights],
            axis=0,
        )
        seen = largest[item.tensor]
        s = np.maximum(seen, _LEAST) ** alpha / np.maximum(rows, _LEAST) ** (1 - alpha)
        # A channel that is always or never 0 has nothing to move.
        s = np.where((seen > _LEAST) & (rows > _LEAST), s, 1).astype(np.float32)
        for name in item.makers:
            factors[name] = factors.get(name, _ONE) / s
        for name in item.weights:
            factors[name] = factors.get(name, _ONE) * s[:, None]
    for name, factor in factors.items():
        scaled = (numpy_helper.to_array(stored[name]) * factor).astype(np.float32)
        stored[name].CopyFrom(numpy_helper.from_array(scaled, name))
    return factors


class _Graph:
    def __init__(self, model: ModelProto) -> None:
        self.nodes = list(model.graph.node)
        self.shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
        self.outputs = {item.name for item in model.graph.output}
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)

    def migrations(self) -> list[Migration]:
        found = []
        for node in self.nodes:
            makers: tuple[str, ...] | None = None
            if node.op_type == "LayerNormalization" and self._over_channels(node):
                makers = tuple(node.input[1:])
            elif node.op_type == "Relu":
                makers = self._linear(node.input[0])
            if not makers or not all(self._own(name) for name in makers):
                continue
            if weights := self._weights(node.output[0]):
                found.append(Migration(node.output[0], makers, weights))
        return found

    def _over_channels(self, node: NodeProto) -> bool:
        return all(len(self.shapes.get(name, ())) == 1 for name in node.input[1:])

    def _own(self, name: str) -> bool:
        """Whether it is a constant that only one node reads."""
        return name in self.shapes and len(self.readers[name]) == 1

    def _linear(self, tensor: str) -> tuple[str, ...] | None:
        """Weight and bias of the layer that makes a tensor for one reader alone."""
        names: list[str] = []
        for kind, rank in (("Add", 1), ("MatMul", 2)):
            node = self.makers.get(tensor)
            if node is None or node.op_type != kind or len(self.readers[tensor]) != 1:
                return None
            constants = [name for name in node.input if len(self.shapes.get(name, ())) == rank]
            if tensor in self.outputs or constants != [node.input[1]]:
                return None
            names.append(constants[0])
            tensor = node.input[0]
        return tuple(names)

    def _weights(self, tensor: str) -> tuple[str, ...] | None:
        """The matrices that multiply a tensor, where nothing else reads it."""
        readers = self.readers.get(tensor, [])
        if tensor in self.outputs or not readers:
            return None
        names = []
        for node in readers:
            if node.op_type != "MatMul" or node.input[0] != tensor or not self._own(node.input[1]):
                return None
            if len(self.shapes[node.input[1]]) != 2:
                return None
            names.append(node.input[1])
        return tuple(names)
