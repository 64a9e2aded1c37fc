"""How far the tensors of two models are apart, one pair at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.graph.stored import Stored

# Numbers of a pair that are widened to float64 at a time.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Changed:
    """A tensor whose numbers differ.

    Attributes:
        relative_l2: norm of the difference over the norm of the first; None where the first is
            all 0, or a number is not finite.
        max_abs: the largest difference; None where a number is not finite.
        fraction: of the numbers that differ.
    """

    name: str
    relative_l2: float | None
    max_abs: float | None
    fraction: float


@dataclass(frozen=True)
class TensorDifferences:
    """What differs between two models' tensors.

    Attributes:
        compared: tensors that both have in the same shape.
        changed: of those, largest ``relative_l2`` first.
        reshaped: (name, type and shape in the first, in the second).
        added, removed: names that only the second, only the first has.
    """

    compared: int
    changed: tuple[Changed, ...]
    reshaped: tuple[tuple[str, str, str], ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not (self.changed or self.reshaped or self.added or self.removed)

    def as_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            **asdict(self),
            "reshaped": [{"name": name, "a": a, "b": b} for name, a, b in self.reshaped],
        }


def tensor_differences(
    first: Mapping[str, Stored], second: Mapping[str, Stored]
) -> TensorDifferences:
    """Compares tensors of the same name."""
    both = [name for name in first if name in second]
    fits = [name for name in both if first[name].shape == second[name].shape]
    changed = [found for name in fits if (found := _compare(name, first[name], second[name]))]
    return TensorDifferences(
        compared=len(fits),
        changed=tuple(sorted(changed, key=_rank)),
        reshaped=tuple(
            (name, str(first[name]), str(second[name])) for name in both if name not in fits
        ),
        added=tuple(name for name in second if name not in first),
        removed=tuple(name for name in first if name not in second),
    )


def _rank(item: Changed) -> tuple[float, str]:
    return (-math.inf if item.relative_l2 is None else -item.relative_l2, item.name)


def _compare(name: str, first: Stored, second: Stored) -> Changed | None:
    one, other = first.read(), second.read()
    if np.array_equal(one, other):
        return None
    if one.dtype.kind in "OSU" or other.dtype.kind in "OSU":
        return Changed(name, None, None, _rounded(float(np.mean(one != other))))
    norm = apart = largest = 0.0
    differing = 0
    for x, y in zip(_blocks(one), _blocks(other), strict=True):
        # Not finite in the same place and way is the same.
        different = (x != y) & ~(np.isnan(x) & np.isnan(y))
        differing += int(np.count_nonzero(different))
        with np.errstate(invalid="ignore"):
            difference = np.where(different, y - x, 0.0)
            norm += float(np.square(x).sum())
            apart += float(np.square(difference).sum())
            largest = float(np.maximum(largest, np.abs(difference).max(initial=0.0)))
    if not differing:
        return None
    relative = math.sqrt(apart / norm) if norm > 0 and math.isfinite(apart / norm) else None
    return Changed(
        name,
        None if relative is None else _rounded(relative),
        _rounded(largest) if math.isfinite(largest) else None,
        _rounded(differing / one.size),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    flat = array.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK].astype(np.float64)
