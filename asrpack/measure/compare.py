"""Is what a step gave still what the step before gave? Numeric comparison of named outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrpack.errors import ToolchainError

# Float32 graphs of the same network differ by the order of additions: 4e-6 to 2e-5 on
# log-probabilities of 4 to 12 blocks. One wrong operator differs by far more than this.
FLOAT32_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Difference:
    """The largest absolute difference within one output, and where it is."""

    name: str
    largest: float
    index: tuple[int, ...]
    expected: float
    actual: float

    def __str__(self) -> str:
        return f"{self.name} {self.largest:.1e}"


def compare(
    step: str,
    expected: Mapping[str, np.ndarray],
    actual: Mapping[str, np.ndarray],
    *,
    tolerance: float = FLOAT32_TOLERANCE,
    lengths: Mapping[str, np.ndarray] | None = None,
) -> list[Difference]:
    """Compares outputs by name.

    Args:
        step: which step gave ``actual``, for messages, e.g. ``convert``.
        expected: outputs of the step before.
        actual: outputs to judge; exactly the same names.
        tolerance: largest absolute difference allowed. Whole numbers must be equal.
        lengths: (B,) per output whose axis 1 is padded; what lies past it is left out.

    Returns:
        The largest difference of each output, in the order of ``expected``.

    Raises:
        ToolchainError: a name is missing, left over or of another shape; a value is not a number
            or differs by more than ``tolerance``. The worst output is named.
    """
    if set(expected) != set(actual):
        raise _mismatch(
            step, f"outputs are {', '.join(sorted(actual))}, not {', '.join(sorted(expected))}"
        )
    lengths = lengths or {}
    found = [
        _difference(step, name, values, actual[name], lengths.get(name))
        for name, values in expected.items()
    ]
    limits = [tolerance if values.dtype.kind == "f" else 0.0 for values in expected.values()]
    off = [item for item, limit in zip(found, limits, strict=True) if not item.largest <= limit]
    if off:
        worst = max(off, key=lambda item: np.inf if np.isnan(item.largest) else item.largest)
        raise _mismatch(
            f"{step}: {worst.name}{list(worst.index)}",
            f"{worst.name} differs from the step before: {worst.actual:.6g} where "
            f"{worst.expected:.6g} is expected, a difference of {worst.largest:.2e}"
            f" (allowed {tolerance:.0e})",
        )
    return found


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file, by name."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an ``.npz`` file: the same bytes for the same arrays."""
    np.savez(path, allow_pickle=False, **arrays)  # type: ignore[arg-type]


def _difference(
    step: str, name: str, expected: np.ndarray, actual: np.ndarray, lengths: np.ndarray | None
) -> Difference:
    if expected.shape != actual.shape:
        raise _mismatch(f"{step}: {name}", f"{name} has shape {actual.shape}, not {expected.shape}")
    gap = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    if lengths is not None:
        padding = np.arange(gap.shape[1]) >= lengths[:, None]
        gap[padding] = 0.0
    if gap.size == 0:
        return Difference(name, 0.0, (), 0.0, 0.0)
    # argmax stops at the first NaN, which is the place to show.
    flat = int(np.argmax(gap))
    index = tuple(int(i) for i in np.unravel_index(flat, gap.shape))
    return Difference(name, float(gap[index]), index, float(expected[index]), float(actual[index]))


def _mismatch(place: str, message: str) -> ToolchainError:
    return ToolchainError(
        message,
        code="numeric-mismatch",
        place=place,
        remedy="check the versions of Paddle, paddle2onnx and ONNX Runtime with "
        "`asrpack doctor`; where they are the supported ones, report this with the model.yaml",
    )
