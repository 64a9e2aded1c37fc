"""A small original, its customers, and copies of it in the files that a suspect may come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from asrpack.bundle.keys import WATERMARK, armour
from asrpack.protect.watermark import add_mark, channel_steps, dither

KEY = bytes(range(32))
CUSTOMERS = [f"customer-{number}" for number in range(30)]
GUILTY = CUSTOMERS[7]
SHAPES = {"first.w": (64, 160), "second.w": (160, 64), "third.w": (96, 96), "fourth.w": (96, 96)}

Matrices = Mapping[str, NDArray[Any]]


def original_matrices() -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(0)
    return {
        name: generator.standard_normal(shape, np.float32) / 16 for name, shape in SHAPES.items()
    }


def marked_matrices(customer: str = GUILTY, strength: float = 0.05) -> dict[str, Any]:
    return {
        name: add_mark(
            weight,
            dither(KEY, customer, f"encoder/{name}", weight.shape, strength),
            channel_steps(weight),
        )
        for name, weight in original_matrices().items()
    }


def write_vendor(folder: Path) -> list[str]:
    """What the vendor has, as the arguments of ``asrpack trace`` that name it."""
    (folder / "original").mkdir(parents=True)
    save_graph(folder / "original/encoder.onnx", original_matrices())
    (folder / "vendor.mark").write_bytes(armour(WATERMARK, KEY))
    (folder / "customers.txt").write_text("\n".join(CUSTOMERS) + "\n")
    return [
        f"--original={folder / 'original'}",
        f"--key={folder / 'vendor.mark'}",
        f"--customers={folder / 'customers.txt'}",
    ]


def graph_of(tensors: Sequence[onnx.TensorProto]) -> onnx.ModelProto:
    """A graph that multiplies an input by each of them."""
    ports = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    nodes = [
        helper.make_node("MatMul", ["x", item.name], [f"y{number}"], name=f"product{number}")
        for number, item in enumerate(tensors)
    ]
    outputs = [
        helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in nodes
    ]
    graph = helper.make_graph(nodes, "suspect", ports, outputs, list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def tensors_of(matrices: Matrices) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(np.ascontiguousarray(v), n) for n, v in matrices.items()]


def save_graph(path: Path, matrices: Matrices) -> Path:
    path.write_bytes(graph_of(tensors_of(matrices)).SerializeToString())
    return path
