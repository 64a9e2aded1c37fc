"""Dynamic int8: activations are quantized while the graph runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import ModelProto
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass

from asrpack.graph.quantization.conv import quantize_convolutions
from asrpack.graph.quantization.layers import quantizable
from asrpack.graph.quantization.tables import halve_tables
from asrpack.graph.quiet import quiet
from asrpack.graph.symmetric import CODE_MAX
from asrpack.graph.weights import QUANTIZED


def to_int8(model: ModelProto, excluded: set[str], *, reduced: bool = False) -> ModelProto:
    """Dynamic quantization of matrix products, convolutions without groups, and LSTMs.

    int8 weights per output channel, uint8 activations per tensor. ONNX Runtime has no int8 GRU.

    Weights are symmetric over [-127, 127], step = max|channel| / 127; where they are ``reduced``
    to 7 bits, over [-64, 64], convolutions too. An activation that feeds several layers is
    quantized once. Changes ``model``.

    On x86-64 without VNNI, ONNX Runtime's fast kernel for these types saturates at 16 bits; a
    session must set ``session.x64quantprecision`` to 1 there, which is exact. Where there is VNNI
    it must not: the kernel that it chooses is less than half as fast.
    """
    # Imported here: it takes a second, and only int8 builds need it.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    halve_tables(model)
    chosen = {node.name for node in quantizable(model) if node.op_type == "Conv"} - excluded
    if chosen:
        convolved = ir.from_proto(model)
        quantize_convolutions(convolved, chosen, limit=64 if reduced else CODE_MAX)
        RemoveUnusedNodesPass()(convolved)
        NameFixPass()(convolved)
        model = ir.to_proto(convolved)
    with tempfile.TemporaryDirectory(prefix="asrpack-") as folder, quiet():
        path = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul", "LSTM"],
            per_channel=True,
            reduce_range=reduced,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted(excluded),
            extra_options={"MatMulConstBOnly": True, "WeightSymmetric": True},
        )
        return onnx.load(str(path))


def scales(model: ModelProto) -> list[str]:
    """Names of the steps that :func:`to_int8` gave the weights."""
    names = {item.name for item in model.graph.initializer}
    return [f"{name.removesuffix(QUANTIZED)}_scale" for name in names if name.endswith(QUANTIZED)]
