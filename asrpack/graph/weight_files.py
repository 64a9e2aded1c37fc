"""The weight matrices of a folder's graphs, ONNX or Paddle, to read and to write again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from asrpack.graph.constants import constant
from asrpack.graph.files import load_graph
from asrpack.graph.image import GraphImage
from asrpack.graph.pir.program import Program
from asrpack.graph.pir.weights import weight_matrices as program_matrices
from asrpack.graph.weights import weight_matrices


class Matrix(Protocol):
    """One matrix, ``(in, out)``; see :class:`asrpack.graph.weights.WeightMatrix`."""

    @property
    def name(self) -> str: ...

    @property
    def steps(self) -> NDArray[np.float32] | None: ...

    @property
    def zeros(self) -> NDArray[np.float32]: ...

    @property
    def limits(self) -> tuple[int, int]: ...

    def codes(self) -> NDArray[np.int8]: ...

    def values(self) -> NDArray[np.float32]: ...

    def store(self, array: NDArray[np.generic]) -> None: ...


@dataclass(frozen=True)
class GraphWeights:
    """What a graph multiplies by.

    Attributes:
        path: the file that holds it; its stem is the graph's name.
        matrices: in the graph's order. What is stored there is written by ``save``.
        constants: names of all that is stored, matrix or not.
        save: writes the graph's files into a folder.
    """

    path: Path
    matrices: Sequence[Matrix]
    constants: Collection[str]
    save: Callable[[Path], None]


def graph_weights(folder: Path) -> Iterator[GraphWeights]:
    """Of each graph, in the order of their names.

    Raises:
        InputError: a graph cannot be read.
    """
    for path in sorted(folder.glob("*.onnx")):
        model = load_graph(path)
        matrices = weight_matrices(model, path.name)
        save = _OnnxFile(model, path.name, [matrix.stored for matrix in matrices]).save
        yield GraphWeights(path, matrices, model.graph.initializers, save)
    for path in sorted(folder.glob("*.pdiparams")):
        program = Program.load(path.with_suffix(""))
        save = partial(_save_program, program, path.stem)
        yield GraphWeights(path, program_matrices(program), program.parameters, save)


class _OnnxFile:
    """Writes a graph time and again; from one time to the next only ``values`` change."""

    def __init__(self, model: ir.Model, name: str, values: Sequence[ir.Value]) -> None:
        self._model, self._name, self._values = model, name, values
        self._image: GraphImage | None = None

    def save(self, folder: Path) -> None:
        if self._image is None:
            self._image = GraphImage(self._model)
        else:
            arrays = {str(value.name): constant(value) for value in self._values}
            self._image.replace({name: a for name, a in arrays.items() if a is not None})
        self._image.write(folder / self._name)


def _save_program(program: Program, name: str, folder: Path) -> None:
    program.save(folder / name)
