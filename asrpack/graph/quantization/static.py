"""Static int8: activations are quantized by ranges that were measured before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
from onnx import ModelProto
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from asrpack.graph.quantization.tables import halve_tables
from asrpack.graph.quiet import quiet

Range = tuple[float, float]


@dataclass(frozen=True)
class Int8Types:
    """What a CPU multiplies fast and without saturation.

    Attributes:
        signed: activations are int8, or uint8. Weights are int8.
        reduced: weights have 7 bits: sums of two products fit 16 bits then, which is where
            x86-64 CPUs without VNNI saturate.
    """

    signed: bool = False
    reduced: bool = False


def to_static_int8(
    model: ModelProto, nodes: set[str], ranges: Mapping[str, Range], types: Int8Types
) -> ModelProto:
    """Quantizes nodes: QuantizeLinear and DequantizeLinear around what they read.

    ONNX Runtime replaces such a product by one int8 operator that writes fp32, and such a
    convolution by one that writes int8. Weights are symmetric per output channel; an activation
    that feeds several nodes is quantized once. Changes ``model``.

    Args:
        nodes: names of MatMul and Conv nodes.
        ranges: lowest and highest number of each of
            :func:`asrpack.graph.quantization.operators.activations`.
    """
    # Imported here: it takes a second, and only static builds need it.
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    halve_tables(model)
    limits = {
        name: (np.float32(lowest), np.float32(highest))
        for name, (lowest, highest) in ranges.items()
    }
    with quiet():
        quantizer = QDQQuantizer(
            onnx.shape_inference.infer_shapes(model),  # it reads types there
            per_channel=True,
            reduce_range=types.reduced,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if types.signed else QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
            nodes_to_quantize=sorted(nodes),
            nodes_to_exclude=[],
            op_types_to_quantize=["MatMul", "Conv"],
            extra_options={
                "WeightSymmetric": True,
                "ActivationSymmetric": False,
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
            },
        )
        quantizer.quantize_model()
        # It appends nodes, and keeps weights that nothing reads any more.
        quantized = ir.from_proto(quantizer.model.model)
        RemoveUnusedNodesPass()(quantized)
        TopologicalSortPass()(quantized)
        return ir.to_proto(quantized)
