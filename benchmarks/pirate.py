"""What somebody with a copy, or several, may do to it before it is passed on.

Everything works on graphs in folders and writes graphs into folders, which run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from asrpack.graph.files import save_proto
from asrpack.graph.weight_files import graph_weights
from asrpack.protect.watermark import Floats, add_mark, channel_steps, dither
from asrpack.stages.quantize import Quantize, QuantizeParams
from asrpack.stages.stage import Context
from asrpack.stages.watermark import read_weights

OTHER_KEY = bytes(range(100, 132))
Values = Mapping[str, Floats]
Change = Callable[[str, Floats, np.random.Generator], Floats]


@dataclass(frozen=True)
class Copy:
    """A model in somebody's hands.

    Attributes:
        graphs: the folder that is passed on.
        floats: the same graphs in fp32, to go on from; what is stored there of the matrices that
            carry a mark does not count.
    """

    graphs: Path
    floats: Path

    def values(self) -> dict[str, Floats]:
        """The matrices that carry a mark, dequantized, by ``GRAPH/NAME``."""
        return read_weights(self.graphs)


@dataclass(frozen=True)
class Tools:
    """What a pirate has.

    Attributes:
        new: makes an empty folder.
        ranges: of activations, for static int8.
        tune: trains a copy further, so many steps at a rate.
    """

    new: Callable[[], Path]
    ranges: Path
    tune: Callable[[Values, int, float], Path]


Step = Callable[[Copy, Tools], Copy]


def stored(copy: Copy, values: Values, tools: Tools) -> Copy:
    """The copy in fp32, with these matrices."""
    folder = tools.new()
    for graph in graph_weights(copy.floats):
        for matrix in graph.matrices:
            value = values.get(f"{graph.path.stem}/{matrix.name}")
            if value is not None:
                matrix.store(value)
        graph.save(folder)
    return Copy(folder, folder)


def each(change: Change) -> Step:
    """A step that changes every matrix by itself."""

    def step(copy: Copy, tools: Tools) -> Copy:
        generator = np.random.default_rng(1)
        changed = {name: change(name, item, generator) for name, item in copy.values().items()}
        return stored(copy, changed, tools)

    return step


def quantized(**params: Any) -> Step:
    """A step that writes it in another precision, with asrpack's own quantizer."""

    def step(copy: Copy, tools: Tools) -> Copy:
        plain, out = stored(copy, copy.values(), tools), tools.new()
        given = {"onnx": plain.graphs, "calibration": tools.ranges}
        Quantize().run(QuantizeParams(**params), given, out, Context())
        return Copy(out / "onnx", plain.floats)

    return step


def quantized_by_tensor(copy: Copy, tools: Tools) -> Copy:
    """Int8 with one step a matrix, by ONNX Runtime's own function as it comes."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, out = stored(copy, copy.values(), tools), tools.new()
    for path in plain.graphs.glob("*.onnx"):
        quantize_dynamic(path, out / path.name, weight_type=QuantType.QInt8)
    return Copy(out, plain.floats)


def tuned(steps: int, rate: float) -> Step:
    """A step that trains it further."""

    def step(copy: Copy, tools: Tools) -> Copy:
        folder = tools.tune(copy.values(), steps, rate)
        return Copy(folder, folder)

    return step


def encoder_alone(copy: Copy, tools: Tools) -> Copy:
    """Without the decoder's graph."""
    plain, out = stored(copy, copy.values(), tools), tools.new()
    (out / "encoder.onnx").write_bytes((plain.graphs / "encoder.onnx").read_bytes())
    return Copy(out, out)


def pruned(share: float) -> Step:
    """A step that sets the smallest numbers of every matrix to 0."""

    def change(name: str, weight: Floats, generator: np.random.Generator) -> Floats:
        size = np.abs(weight)
        return np.where(size < np.quantile(size, share), np.float32(0), weight)

    return each(change)


def noisy(share: float) -> Step:
    """A step that adds normal noise of so much of every matrix's standard deviation."""

    def change(name: str, weight: Floats, generator: np.random.Generator) -> Floats:
        noise = generator.standard_normal(weight.shape, np.float32)
        return weight + np.float32(share) * weight.std() * noise

    return each(change)


def overwritten(strength: float) -> Step:
    """A step that puts another vendor's mark on top."""

    def change(name: str, weight: Floats, generator: np.random.Generator) -> Floats:
        mark = dither(OTHER_KEY, "pirate", name, weight.shape, strength)
        return add_mark(weight, mark, channel_steps(weight))

    return each(change)


def of_half_rank(name: str, weight: Floats, generator: np.random.Generator) -> Floats:
    """The nearest matrix of half the rank."""
    left, singular, right = np.linalg.svd(weight, full_matrices=False)
    kept = singular.size // 2
    result: Floats = (left[:, :kept] * singular[:kept]) @ right[:kept]
    return result


def rearranged(octaves: float) -> Step:
    """A step to the same function from matrices that have other names, and rows and columns in
    another order, with other signs, and scaled by so many octaves up or down; what goes in and
    comes out of each is put right around it.
    """

    def step(copy: Copy, tools: Tools) -> Copy:
        plain, out = stored(copy, copy.values(), tools), tools.new()
        generator = np.random.default_rng(2)
        marked = {name.split("/", 1)[1] for name in copy.values()}
        for path in sorted(plain.graphs.glob("*.onnx")):
            model = onnx.load(str(path))
            _rearrange(model.graph, marked, octaves, generator)
            save_proto(model, out / path.name)
        return Copy(out, out)

    return step


def _rearrange(
    graph: onnx.GraphProto, names: set[str], octaves: float, generator: np.random.Generator
) -> None:
    held = {item.name: item for item in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in names & held.keys():
            nodes.append(node)
            continue
        tensor = held.pop(node.input[1])
        weight, label = numpy_helper.to_array(tensor), f"tensor{len(nodes)}"
        rows, columns = (generator.permutation(size) for size in weight.shape)
        a, b = (_factors(size, octaves, generator) for size in weight.shape)
        changed = (weight * a[:, None] * b)[np.ix_(rows, columns)].astype(np.float32)
        constants = {
            label: changed,
            f"{label}.rows": rows,
            f"{label}.a": (1 / a[rows]).astype(np.float32),
            f"{label}.columns": np.argsort(columns),
            f"{label}.b": (1 / b).astype(np.float32),
        }
        graph.initializer.remove(tensor)
        graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in constants.items())
        nodes += [
            _node("Gather", [node.input[0], f"{label}.rows"], f"{label}.1", axis=-1),
            _node("Mul", [f"{label}.1", f"{label}.a"], f"{label}.2"),
            _node("MatMul", [f"{label}.2", label], f"{label}.3"),
            _node("Gather", [f"{label}.3", f"{label}.columns"], f"{label}.4", axis=-1),
            _node("Mul", [f"{label}.4", f"{label}.b"], node.output[0]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _node(kind: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], f"{kind} {output}", **attributes)


def _factors(size: int, octaves: float, generator: np.random.Generator) -> Any:
    """Of either sign."""
    return 2.0 ** generator.uniform(-octaves, octaves, size) * generator.choice([-1, 1], size)


Combine = Callable[[Sequence[Floats]], Floats]


def combined(copies: Sequence[Copy], how: Combine, tools: Tools) -> Copy:
    """One model of several customers' copies."""
    values = [copy.values() for copy in copies]
    return stored(
        copies[0], {name: how([item[name] for item in values]) for name in values[0]}, tools
    )


def average(copies: Sequence[Floats]) -> Floats:
    """Of each number."""
    return np.mean(np.stack(copies), axis=0, dtype=np.float32)


def median(copies: Sequence[Floats]) -> Floats:
    """Of each number."""
    result: Floats = np.median(np.stack(copies), axis=0).astype(np.float32)
    return result


def minority(copies: Sequence[Floats]) -> Floats:
    """Of each number the one that is furthest from the mean: what the fewest have."""
    stack = np.stack(copies)
    furthest = np.abs(stack - stack.mean(axis=0)).argmax(axis=0)
    result: Floats = np.take_along_axis(stack, furthest[None], axis=0)[0]
    return result
