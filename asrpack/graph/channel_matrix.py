"""What float and int8 matrices have in common, whichever file they are stored in."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from asrpack.graph.symmetric import CODE_MAX


class ChannelMatrix(ABC):
    """One matrix, ``(in, out)``: floats, or int8 codes with a step for each output channel."""

    @property
    @abstractmethod
    def steps(self) -> NDArray[np.float32] | None:
        """Scale per output channel ``(out,)`` of an int8 matrix; None for a float one."""

    @abstractmethod
    def stored_numbers(self) -> NDArray[np.generic]:
        """What is stored, ``(in, out)``."""

    @property
    def zeros(self) -> NDArray[np.float32]:
        """Code of 0 of an int8 matrix."""
        return np.zeros(1, np.float32)

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest code of an int8 matrix."""
        return -CODE_MAX, CODE_MAX

    def codes(self) -> NDArray[np.int8]:
        """What is stored of an int8 matrix."""
        return self.stored_numbers().astype(np.int8, copy=False)

    def values(self) -> NDArray[np.float32]:
        """The matrix as the graph multiplies by it."""
        stored = self.stored_numbers().astype(np.float32)
        return stored if self.steps is None else stored * self.steps
