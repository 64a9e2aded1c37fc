"""Weight-only int8 and int4: blocks of numbers with a step each, activations in fp32."""

from __future__ import annotations

from onnx import ModelProto

from asrpack.graph.quantization.half_storage import store_half
from asrpack.graph.quantization.layers import quantizable
from asrpack.graph.quantization.tables import halve_tables
from asrpack.graph.quiet import quiet

# The kernel rounds activations to int8, a step for each block of each row. Without that it turns
# int8 weights back into floats, which took 1.4 times as long for long input and 2.8 for a chunk.
_INT8_ACTIVATIONS = 4


def to_blocks(model: ModelProto, excluded: set[str], bits: int, block_size: int) -> list[str]:
    """Quantizes matrices to ``com.microsoft.MatMulNBits``, in place.

    A block is ``block_size`` numbers of one output channel. int8 blocks are symmetric, int4 ones
    have a zero point (an error 7 to 20 % less for 1 % more bytes). Where the block does not
    divide the inner size, the last one is filled up with zeros. All else that is large is stored
    in fp16.

    Args:
        excluded: names of the nodes whose matrices are stored in fp16.
        bits: 4 or 8.

    Returns:
        Names of the constants that stay fp32, because fp16 does not hold them.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    halve_tables(model)
    wanted = {node.name: node.input[1] for node in quantizable(model) if node.name not in excluded}
    kept = store_half(model, leave=wanted.values())
    with quiet():
        quantizer = MatMulNBitsQuantizer(
            model,
            bits=bits,
            block_size=block_size,
            is_symmetric=bits == 8,
            accuracy_level=_INT8_ACTIVATIONS,
            nodes_to_exclude=[node.name for node in model.graph.node if node.name not in wanted],
        )
        quantizer.process()
    _keep_one_of_each(quantizer.model.model)
    model.CopyFrom(quantizer.model.model)
    return kept


def _keep_one_of_each(model: ModelProto) -> None:
    """A matrix of several nodes is quantized for each of them, under one name."""
    once = {item.name: item for item in model.graph.initializer}
    del model.graph.initializer[:]
    model.graph.initializer.extend(once.values())
