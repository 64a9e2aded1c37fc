"""Reading constants of a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """What a value holds at every run, or None: an initializer that callers cannot override."""
    if value is None or value.const_value is None:
        return None
    if not value.is_initializer() or value.is_graph_input():
        return None
    return np.asarray(value.const_value.numpy())


def integers(value: ir.Value | None) -> tuple[int, ...] | None:
    """A constant list of integers, such as the axes of a Squeeze, or None."""
    array = constant(value)
    return None if array is None else tuple(int(item) for item in array.reshape(-1))


def derived_name(source: ir.Value) -> str:
    """Name for a rearranged copy of a parameter: the parameter's own where nothing else uses it.

    Names of weights are what recipes exclude layers by and what a watermark is tied to, so a
    pass keeps them.
    """
    assert source.name is not None
    return source.name if len(source.uses()) == 1 else f"{source.name}.rearranged"


def initializer(name: str, array: NDArray[Any]) -> ir.Value:
    """A constant that a graph has yet to register."""
    tensor = ir.tensor(array, name=name)
    return ir.Value(
        name=name,
        const_value=tensor,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(tensor.dtype),
    )
