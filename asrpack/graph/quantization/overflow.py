"""Which nodes of a graph fp16 would break, found on real speech."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

LARGEST = 65504 / 2
"""Half of what fp16 holds: other speech may be louder than the speech looked at."""

SMALLEST = 2.0**-14
"""Smallest number that fp16 holds with all of its bits."""

Feed = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class OutOfRange:
    """A tensor that fp16 does not hold.

    Attributes:
        tensor: a node's output, or a constant.
        largest: its greatest magnitude but for infinities.
        nodes: names of the nodes that make it or take it.
    """

    tensor: str
    largest: float
    nodes: tuple[str, ...]


def out_of_range(model: ModelProto, feeds: Iterable[Feed]) -> list[OutOfRange]:
    """Runs an fp32 graph and finds the tensors that fp16 does not hold, in the graph's order.

    These are the ones with a magnitude over :data:`LARGEST`, and those whose greatest magnitude
    is under :data:`SMALLEST`, which would lose bits or become 0. Infinities are masks, and fp16
    has them; tensors that are 0 throughout are fine.

    Args:
        feeds: of real speech, by the graph's inputs.
    """
    largest = _constants(model)
    for name, value in _activations(model, feeds).items():
        largest[name] = max(value, largest.get(name, 0.0))
    beyond = {
        name: value for name, value in largest.items() if value > LARGEST or 0 < value < SMALLEST
    }
    touching: dict[str, list[str]] = {name: [] for name in beyond}
    for node in model.graph.node:
        for name in dict.fromkeys((*node.input, *node.output)):
            if name in touching:
                touching[name].append(node.name)
    return [OutOfRange(name, beyond[name], tuple(nodes)) for name, nodes in touching.items()]


def _constants(model: ModelProto) -> dict[str, float]:
    found = {
        item.name: numpy_helper.to_array(item)
        for item in model.graph.initializer
        if item.data_type == TensorProto.FLOAT
    }
    return {name: _magnitude(array) for name, array in found.items()}


def _magnitude(array: NDArray[np.float32]) -> float:
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max(initial=0.0))


def _activations(model: ModelProto, feeds: Iterable[Feed]) -> dict[str, float]:
    """Greatest magnitude of every float tensor that a node makes. Only maxima leave the graph."""
    import onnxruntime

    watched = onnx.shape_inference.infer_shapes(model)
    graph = watched.graph
    floats = {
        item.name
        for item in (*graph.value_info, *graph.output)
        if item.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    names = [name for node in graph.node for name in node.output if name in floats]
    flat, nothing = "asrpack/flat", "asrpack/nothing"
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([-1]), flat),
            numpy_helper.from_array(np.zeros(1, np.float32), nothing),
        ]
    )
    del graph.output[:]
    places = {name: f"asrpack/{index}" for index, name in enumerate(names)}
    nodes = []
    for node in graph.node:
        nodes.append(node)
        for name in (name for name in node.output if name in floats):
            nodes += _greatest(name, places[name], flat, nothing)
    del graph.node[:]
    graph.node.extend(nodes)
    for place in places.values():
        graph.output.append(helper.make_tensor_value_info(place, TensorProto.FLOAT, []))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # As the graph says: fused kernels have none of its tensors.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # In the order given, each tensor's maximum before the next tensor: less than half the memory.
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found = dict.fromkeys(names, 0.0)
    for feed in feeds:
        for name, value in zip(names, session.run(None, dict(feed)), strict=True):
            found[name] = max(found[name], float(value))
    return found


def _greatest(name: str, output: str, flat: str, nothing: str) -> list[onnx.NodeProto]:
    """Nodes that give the greatest finite magnitude of a tensor, 0 of an empty one."""
    made = [f"{output}/{step}" for step in ("flat", "infinite", "finite", "some", "magnitudes")]
    return [
        helper.make_node("Reshape", [name, flat], [made[0]]),
        helper.make_node("IsInf", [made[0]], [made[1]]),
        helper.make_node("Where", [made[1], nothing, made[0]], [made[2]]),
        helper.make_node("Concat", [made[2], nothing], [made[3]], axis=0),
        helper.make_node("Abs", [made[3]], [made[4]]),
        helper.make_node("ReduceMax", [made[4]], [output], keepdims=0),
    ]
