"""The weight matrices of a program, as :mod:`asrpack.graph.weights` has those of an ONNX graph.

A matrix has the same name and orientation in both. Passes over the ONNX graph scale or rearrange
some: a suspect's matrices are held against an original of its own format.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrpack.graph.channel_matrix import ChannelMatrix
from asrpack.graph.pir.program import Operator, Program


@dataclass(frozen=True)
class ProgramMatrix(ChannelMatrix):
    """One matrix, ``(in, out)``.

    Attributes:
        name: the parameter's.
    """

    name: str
    program: Program

    @property
    def steps(self) -> NDArray[np.float32] | None:
        """Scale per output channel ``(out,)`` of an int8 matrix; None for a float one."""
        scale = self.program.parameters.get(f"{self.name}_scale")
        return None if scale is None else scale.reshape(-1)

    def store(self, array: NDArray[np.generic]) -> None:
        """Replaces what is stored; the element type stays."""
        kernel = self.program.parameters[self.name].ndim > 2
        self.program.store(self.name, array.T if kernel else array)

    def stored_numbers(self) -> NDArray[np.generic]:
        """Floats or codes; a kernel turned round."""
        stored = self.program.parameters[self.name]
        return stored if stored.ndim == 2 else stored.reshape(stored.shape[:2]).T


def weight_matrices(program: Program) -> list[ProgramMatrix]:
    """All parameters that ``matmul`` multiplies by, and kernels of pointwise convolutions."""
    return [
        ProgramMatrix(name, program)
        for name in program.parameters
        if _is_pointwise(program, name) or _multiplies(program, name)
    ]


def recurrent_weights(program: Program) -> list[str]:
    """Names of the matrices of RNNs, ``(out, in)``."""
    return [
        name
        for name, stored in program.parameters.items()
        if stored.ndim == 2
        and any(
            operator["#"] == "0.combine"
            and any(user["#"] == "1.rnn" for user, _ in program.users(operator["O"][0]["%"]))
            for operator, _ in program.readers(name)
        )
    ]


def _is_pointwise(program: Program, name: str) -> bool:
    """Whether it is a kernel of size 1 over several channels, ``(out, in, 1…)``."""
    shape = program.parameters[name].shape
    return len(shape) > 2 and shape[1] > 1 and set(shape[2:]) == {1}


def _multiplies(program: Program, name: str) -> bool:
    if program.parameters[name].ndim != 2:
        return False
    readers = program.readers(name)
    while len(readers) == 1 and readers[0][0]["#"] in ("1.cast", "1.multiply"):
        readers = program.users(readers[0][0]["O"][0]["%"])
    return bool(readers) and all(
        operator["#"] == "1.matmul" and place == 1 and not _transposes(operator)
        for operator, place in readers
    )


def _transposes(operator: Operator) -> bool:
    given = {item["N"]: item["AT"]["D"] for item in operator["A"]}
    return bool(given["transpose_y"])
