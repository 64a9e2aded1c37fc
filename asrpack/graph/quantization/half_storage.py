"""Weights stored in half precision and computed with in single."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

MIN_SIZE = 4096
"""Numbers from which a constant is worth a Cast."""

SUFFIX = "_half"
# Rounding to 11 bits changes no number by more than 2**-11 of itself; twice that is something else.
_TOLERANCE = 2.0**-10


def fits_half(array: NDArray[np.float32]) -> bool:
    """Whether fp16 holds an array as exactly as 11 bits do.

    It does not where a number is beyond 65504, where the numbers that count are below 6e-5 and
    lose bits (or all of them, below 6e-8), and where whole numbers are more than 2048: these are
    positions and lengths.
    """
    with np.errstate(over="ignore"):
        half = array.astype(np.float16).astype(np.float32)
    if not np.isfinite(half).all():
        return False
    if not (array % 1).any():
        return bool((half == array).all())
    error = np.linalg.norm((array - half).astype(np.float64))
    return bool(error <= _TOLERANCE * np.linalg.norm(array.astype(np.float64)))


def store_half(model: ModelProto, leave: Collection[str] = ()) -> list[str]:
    """Stores large constants in fp16 and casts them to fp32, in place.

    ONNX Runtime folds the casts when it loads the graph: the file has half the size, and speed
    and memory are those of fp32. ``NAME`` becomes ``NAME_half``, and the cast gives ``NAME``.

    Args:
        leave: names of constants that are not looked at.

    Returns:
        Names of the constants that stay fp32, because fp16 does not hold them.
    """
    graph = model.graph
    casts, kept = [], []
    for item in graph.initializer:
        full = item.name
        small = math.prod(item.dims) < MIN_SIZE
        if item.data_type != TensorProto.FLOAT or small or full in leave:
            continue
        array = numpy_helper.to_array(item)
        if not fits_half(array):
            kept.append(full)
            continue
        half = f"{full}{SUFFIX}"
        item.CopyFrom(numpy_helper.from_array(array.astype(np.float16), half))
        casts.append(helper.make_node("Cast", [half], [full], f"{half}/cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return kept
