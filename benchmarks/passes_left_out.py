"""Passes that were tried on real graphs and not taken up; ``benchmarks.passes`` times them.

They take the graph that the standard passes leave. Two need operators that only ONNX Runtime has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import InPlacePass, PassResult
from onnx_ir.passes.common import TopologicalSortPass

from asrpack.graph.constants import constant

CONTRIB = "com.microsoft"


def store(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """An initializer."""
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    graph.register_initializer(value)
    return value


class FuseSkipLayerNormalization(InPlacePass):
    """A residual's Add and the normalization after it in one operator, which gives the sum, too."""

    def call(self, model: ir.Model) -> PassResult:
        """Replaces sums of two activations that are normalized over the last axis."""
        model.graph.opset_imports[CONTRIB] = 1
        for node in list(model.graph):
            total = node.inputs[0] if node.op_type == "LayerNormalization" else None
            add = None if total is None else total.producer()
            if (
                add is None
                or add.op_type != "Add"
                or any(value.is_initializer() for value in add.inputs)
            ):
                continue
            fused = ir.node(
                "SkipLayerNormalization",
                [*add.inputs, *node.inputs[1:]],
                {"epsilon": node.attributes["epsilon"].as_float()},
                domain=CONTRIB,
                num_outputs=4,
            )
            model.graph.insert_after(add, fused)
            total.replace_all_uses_with(fused.outputs[3])
            node.outputs[0].replace_all_uses_with(fused.outputs[0], replace_graph_outputs=True)
            model.graph.remove([add, node], safe=True)
        return PassResult(model, modified=True)


class FuseProducts(InPlacePass):
    """Query, key and value from one product by their matrices side by side."""

    def call(self, model: ir.Model) -> PassResult:
        """Joins layers with bias that share their input and have the same size."""
        graph = model.graph
        layers = defaultdict(list)
        for node in graph:
            weight = constant(node.inputs[1]) if node.op_type == "MatMul" else None
            following = list(node.outputs[0].consumers()) if weight is not None else []
            if len(following) == 1 and following[0].op_type == "Add":
                layers[node.inputs[0], weight.shape].append((node, following[0]))
        for (x, (_, width)), found in layers.items():
            if len(found) != 3:
                continue
            products, adds = zip(*found, strict=True)
            weights = [constant(node.inputs[1]) for node in products]
            biases = [constant(next(v for v in add.inputs if v.is_initializer())) for add in adds]
            name = products[0].inputs[1].name + ".fused"
            together = ir.node("MatMul", [x, store(graph, name, np.hstack(weights))])
            bias = store(graph, f"{name}.bias", np.concatenate(biases))
            summed = ir.node("Add", [together.outputs[0], bias])
            sizes = store(graph, f"{name}.sizes", np.full(3, width))
            split = ir.node("Split", [summed.outputs[0], sizes], {"axis": -1}, num_outputs=3)
            graph.insert_before(products[0], [together, summed, split])
            for add, output in zip(adds, split.outputs, strict=True):
                add.outputs[0].replace_all_uses_with(output)
            graph.remove([*products, *adds], safe=True)
        TopologicalSortPass()(model)
        return PassResult(model, modified=True)


class FuseAttention(InPlacePass):
    """ONNX Runtime's MultiHeadAttention, with the numbers by key as its bias."""

    def call(self, model: ir.Model) -> PassResult:
        """Replaces what stands between the products before and after attention's softmax."""
        graph = model.graph
        graph.opset_imports[CONTRIB] = 1
        front = store(graph, "attention.front", np.array([1, 1]))
        back = store(graph, "attention.back", np.array([1]))
        for node in [node for node in graph if node.op_type == "Softmax"]:
            scores = node.inputs[0].producer()
            product = scores.inputs[0].producer()
            query, keys = product.inputs
            heads = query.producer().inputs[0]  # (B, T, heads, channels)
            made_of = keys.producer()
            parts = made_of.inputs if made_of.op_type == "Add" else [keys]
            key = [part.producer().inputs[0].producer().inputs[0] for part in parts]
            (mix,) = node.outputs[0].consumers()
            value = mix.inputs[1].producer().inputs[0]
            (turned,) = mix.outputs[0].consumers()
            (flat,) = turned.outputs[0].consumers()
            made: list[ir.Node] = []

            def add(operator: str, inputs: list, made: list = made, **more: object) -> ir.Value:
                made.append(ir.node(operator, inputs, more))
                return made[-1].outputs[0]

            key3 = add("Add", key) if len(key) > 1 else key[0]
            count = add("Shape", [heads], start=1, end=2)
            wide = add("Expand", [scores.inputs[1], add("Concat", [front, count, back], axis=0)])
            shape = constant(heads.producer().inputs[1])
            fused = ir.node(
                "MultiHeadAttention",
                [heads.producer().inputs[0], key3, value.producer().inputs[0], None, None, wide],
                {"num_heads": int(shape[2]), "scale": 1.0},
                domain=CONTRIB,
            )
            graph.insert_before(node, [*made, fused])
            flat.outputs[0].replace_all_uses_with(fused.outputs[0])
        return PassResult(model, modified=True)


class FirstConvolutionAsProduct(InPlacePass):
    """The convolution of one channel as a Gemm of its windows, channels last.

    What int8 makes of the second convolution reads channels last, and ONNX Runtime's own layout
    has to be turned for it.
    """

    def call(self, model: ir.Model) -> PassResult:
        """Replaces the convolutions over one channel and the Relu after each."""
        graph = model.graph
        for node in [node for node in graph if node.op_type == "Conv"]:
            kernel = constant(node.inputs[1])
            if kernel.shape[1] != 1 or node.attributes.get_int("group", 1) != 1:
                continue
            (relu,) = node.outputs[0].consumers()
            made: list[ir.Node] = []

            def add(operator: str, inputs: list, made: list = made, **more: object) -> ir.Value:
                made.append(ir.node(operator, inputs, more))
                return made[-1].outputs[0]

            def whole(label: str, *numbers: int) -> ir.Value:
                return store(graph, f"first.{label}", np.array(numbers))

            out, _, high, wide = kernel.shape
            last = add("Transpose", [node.inputs[0]], perm=[0, 2, 3, 1])
            axes, steps = whole("axes", 1, 2), whole("steps", *node.attributes["strides"].as_ints())
            windows = []
            for y, x in np.ndindex(high, wide):
                start = whole(f"start{y}{x}", y, x)
                ends = [n if n else 1 << 40 for n in (y + 1 - high, x + 1 - wide)]
                end = whole(f"end{y}{x}", *ends)
                windows.append(add("Slice", [last, start, end, axes, steps]))
            rows = add("Reshape", [add("Concat", windows, axis=-1), whole("rows", -1, high * wide)])
            matrix = store(graph, "first.matrix", kernel.reshape(out, -1).T.copy())
            product = add("Relu", [add("Gemm", [rows, matrix, node.inputs[2]])])
            places = add("Shape", [windows[0]], end=3)
            shape = add("Concat", [places, whole("out", out)], axis=0)
            first = add("Transpose", [add("Reshape", [product, shape])], perm=[0, 3, 1, 2])
            graph.insert_before(node, made)
            relu.outputs[0].replace_all_uses_with(first)
        return PassResult(model, modified=True)


@dataclass(frozen=True)
class LeftOut:
    """A pass, what it does, and whether it comes after quantization."""

    name: str
    description: str
    apply: Callable[[], InPlacePass]
    after_int8: bool


LEFT_OUT = (
    LeftOut("fused QKV", "three products of one input as one, and a Split", FuseProducts, False),
    LeftOut(
        "SkipLayerNormalization",
        "residual Add and LayerNormalization as one",
        FuseSkipLayerNormalization,
        True,
    ),
    LeftOut("MultiHeadAttention", "products, mask and softmax as one", FuseAttention, True),
    LeftOut(
        "first convolution as product",
        "windows of the one channel side by side, channels last",
        FirstConvolutionAsProduct,
        True,
    ),
)
