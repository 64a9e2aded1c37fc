"""Programs with weights in fewer bits, of which Paddle makes fp32 when it loads the graph.

So they are smaller, and no faster. Paddle's own int8 for CPUs is a set of passes over the old
program format (``fluid/framework/ir/onednn/cpu_quantize_pass.cc``); for the new one
(``fluid/pir/transforms/onednn``) 3.1.1 has none. bf16 it has (``Config.enable_mkldnn_bfloat16``),
but a conformer's convolutions do not survive it: "The input of Op(Conv) should be a 4-D or 5-D
Tensor".
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np

from asrpack.graph.pir.program import Program
from asrpack.graph.pir.weights import recurrent_weights, weight_matrices
from asrpack.graph.quantization.half_storage import fits_half
from asrpack.graph.symmetric import quantize_channels

# Smaller parameters are a matter of a few kilobytes.
_MIN_SIZE = 4096
# Between a layer that makes logits and a graph's output.
_AFTER_LOGITS = frozenset({"1.add", "1.cast", "1.reshape", "1.log_softmax", "1.softmax"})
_LOOK_UPS = frozenset({("1.embedding", 1), ("1.slice", 0)})


def output_layers(program: Program) -> set[str]:
    """Names of the matrices that make logits.

    See :func:`asrpack.graph.quantization.layers.output_layers`.
    """
    matrices = {matrix.name for matrix in weight_matrices(program)}
    pending = [(item, False) for item in program.operators if item["#"] == "1.fetch"]
    layers = set()
    while pending:
        operator, normalized = pending.pop()
        for given in operator["I"]:
            maker = program.maker(given["%"])
            if maker["#"] == "1.matmul" and normalized:
                name = program.parameter(maker["I"][1]["%"])
                layers |= matrices & {name or ""}
            elif maker["#"] in _AFTER_LOGITS:
                normal = maker["#"] in ("1.log_softmax", "1.softmax")
                pending.append((maker, normalized or normal))
    return layers


def matching(program: Program, patterns: Sequence[str]) -> dict[str, set[str]]:
    """For each shell pattern the matrices whose names it matches."""
    names = [matrix.name for matrix in weight_matrices(program)]
    return {pattern: {name for name in names if fnmatchcase(name, pattern)} for pattern in patterns}


def to_int8(program: Program, excluded: set[str]) -> None:
    """Stores matrices, RNNs' too, as int8, symmetric per output channel, step = max|channel| / 127.

    And what is only looked up (embeddings, positions) as fp16.
    """
    for matrix in weight_matrices(program):
        if matrix.name not in excluded:
            kernel = program.parameters[matrix.name].ndim > 2
            _store_codes(program, matrix.name, 0 if kernel else 1)
    for name in recurrent_weights(program):
        _store_codes(program, name, 0)
    for name, stored in list(program.parameters.items()):
        readers = {(operator["#"], place) for operator, place in program.readers(name)}
        large = stored.dtype == np.float32 and stored.size >= _MIN_SIZE
        if large and readers <= _LOOK_UPS and fits_half(stored):
            program.convert(name, stored.astype(np.float16), None)


def _store_codes(program: Program, name: str, channels: int) -> None:
    """``channels``: the axis of the output channels."""
    weight = program.parameters[name]
    if weight.size < _MIN_SIZE:
        return
    codes, steps = quantize_channels(weight, channels)
    # (out,) spreads over the columns of a matrix by itself.
    program.convert(name, codes, steps.reshape(-1) if channels == weight.ndim - 1 else steps)


def to_fp16(program: Program) -> None:
    """Stores matrices, kernels and tables as fp16; what it does not hold stays fp32."""
    for name, stored in list(program.parameters.items()):
        if stored.ndim > 1 and stored.size >= _MIN_SIZE and fits_half(stored):
            program.convert(name, stored.astype(np.float16), None)
