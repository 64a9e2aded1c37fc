"""Small random CTC graphs as other toolkits export them, and what they compute in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
Ports = Mapping[str, tuple[int, Sequence[Any]]]
node = helper.make_node
TOKENS = ("<blank>", "a", "b", "c", "<wb>")


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Ports,
    outputs: Ports,
    constants: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    *,
    opset: int = 17,
) -> onnx.ModelProto:
    def ports(items: Ports) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, *what) for name, what in items.items()]

    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", ports(inputs), ports(outputs), initializers)
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, producer_name="other"
    )
    helper.set_model_props(made, dict(metadata or {}))
    onnx.checker.check_model(made, full_check=True)
    return made


def save(made: onnx.ModelProto, folder: Path, tokens: Sequence[str] = TOKENS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(made, path)
    (folder / "tokens.txt").write_text("".join(f"{unit}\n" for unit in tokens), encoding="utf-8")
    return path


def ctc(
    *,
    bins: int = 40,
    axes: str = "BTD",
    scores_axes: str = "BTV",
    kind: str = "log_probabilities",
    lengths: int | None = INT64,
    out_lengths: bool = True,
    constants: Mapping[str, int] | None = None,
    units: int = len(TOKENS),
) -> onnx.ModelProto:
    """Every fourth frame by a matrix; a further input, if any, is added to the scores."""
    shape = {"BTD": ("B", "T", bins), "BDT": ("B", bins, "T")}[axes]
    nodes = [node("Transpose", ["x"], ["xt"], perm=[0, 2, 1] if axes == "BDT" else [0, 1, 2])]
    nodes.append(node("Slice", ["xt", "start", "end", "axis", "step"], ["fourth"]))
    nodes.append(node("MatMul", ["fourth", "w"], ["logits0"]))
    inputs: dict[str, tuple[int, Sequence[Any]]] = {"x": (FLOAT, shape)}
    last = "logits0"
    for name in constants or {}:
        inputs[name] = (INT32, ("B",))
        nodes += [
            node("Cast", [name], [f"{name}_f"], to=FLOAT),
            node("Unsqueeze", [f"{name}_f", "behind"], [f"{name}_u"]),
            node("Mul", [f"{name}_u", "bias"], [f"{name}_b"]),
            node("Add", [last, f"{name}_b"], [f"{name}_sum"]),
        ]
        last = f"{name}_sum"
    if kind != "logits":
        operator = "LogSoftmax" if kind == "log_probabilities" else "Softmax"
        nodes.append(node(operator, [last], ["s0"], axis=-1))
        last = "s0"
    perm = ["BTV".index(axis) for axis in scores_axes]
    nodes.append(node("Transpose", [last], ["y"], perm=perm))
    sizes = {"B": "B", "T": "T_out", "V": units}
    outputs: dict[str, tuple[int, Sequence[Any]]] = {
        "y": (FLOAT, [sizes[axis] for axis in scores_axes])
    }
    if lengths is not None:
        inputs["x_lens"] = (lengths, ("B",))
        if out_lengths:
            nodes += [
                node("Cast", ["x_lens"], ["l0"], to=INT64),
                node("Add", ["l0", "three"], ["l1"]),
                node("Div", ["l1", "four"], ["y_lens"]),
            ]
            outputs["y_lens"] = (INT64, ("B",))
    constant = {
        "start": np.array([0]),
        "end": np.array([1 << 40]),
        "axis": np.array([1]),
        "step": np.array([4]),
        "w": weights(bins, units),
        "behind": np.array([1, 2]),
        "bias": weights(units, seed=1),
        "three": np.array([3]),
        "four": np.array([4]),
    }
    used = {name for item in nodes for name in item.input}
    return model(
        nodes, inputs, outputs, {name: value for name, value in constant.items() if name in used}
    )


def log_softmax(values: np.ndarray) -> np.ndarray:
    shifted = values - values.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def expected(feats: np.ndarray, bias: float = 0.0, units: int = len(TOKENS)) -> np.ndarray:
    """Log-probabilities of :func:`ctc` for features (B, T, D)."""
    logits = feats[:, ::4] @ weights(feats.shape[2], units) + bias * weights(units, seed=1)
    return log_softmax(logits)
