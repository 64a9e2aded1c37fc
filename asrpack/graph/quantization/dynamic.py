"""Dynamic int8: activations are quantized while the graph runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
from onnx import ModelProto

from asrpack.graph.quantization.tables import halve_tables
from asrpack.graph.quiet import quiet


def to_int8(model: ModelProto, excluded: set[str], *, reduced: bool = False) -> ModelProto:
    """Dynamic quantization of matrix products and LSTMs.

    int8 weights per output channel, uint8 activations per tensor. ONNX Runtime has no int8 GRU.

    Weights are symmetric over [-127, 127], step = max|channel| / 127; where they are ``reduced``
    to 7 bits, over [-64, 64]. An activation that feeds several layers is quantized once. Changes
    ``model``.

    On x86-64 without VNNI, ONNX Runtime's fast kernel for these types saturates at 16 bits; a
    session must set ``session.x64quantprecision`` to 1, which is exact and a little slower there,
    and has no effect where there is VNNI.
    """
    # Imported here: it takes a second, and only int8 builds need it.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    halve_tables(model)
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
