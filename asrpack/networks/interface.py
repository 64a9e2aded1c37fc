"""The interface of a graph: names, types and axes of its inputs and outputs.

Free of Paddle. Each family declares its graphs in these terms; exporting, converting and comparing
go by the declaration.
"""

from __future__ import annotations

from dataclasses import dataclass

Dim = str | int


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        dtype: ``float32`` or ``int64``.
        dims: a name where the size is free, a number where it is fixed.
        length: for an output, the name of the graph's input or output, shape (B,), that holds
            the valid steps along axis 1; what lies past them does not matter.
    """

    name: str
    dtype: str
    dims: tuple[Dim, ...]
    length: str | None = None


@dataclass(frozen=True)
class GraphSpec:
    """A graph, by the name of its file without suffix."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.outputs)


def floats(name: str, *dims: Dim, length: str | None = None) -> TensorSpec:
    """A float32 tensor."""
    return TensorSpec(name, "float32", dims, length)


def integers(name: str, *dims: Dim) -> TensorSpec:
    """An int64 tensor."""
    return TensorSpec(name, "int64", dims)
