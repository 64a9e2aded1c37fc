"""What range of an activation int8 covers, found by ONNX Runtime's calibrators."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from typing import Protocol

import numpy as np

# Names in a recipe.
OBSERVERS = ("minmax", "entropy", "percentile")
Range = tuple[float, float]
Seen = dict[str, Range]


class Observer(Protocol):
    """Sees every activation of every call, then says what range each needs."""

    def observe(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Takes the activations of one call, float32 of any shape, by name."""

    def ranges(self) -> Seen:
        """Lowest and highest number to cover, by name."""


class MinMax:
    """All that was seen."""

    def __init__(self) -> None:
        self._seen: Seen = {}

    def observe(self, tensors: Mapping[str, np.ndarray]) -> None:
        for name, values in tensors.items():
            if values.size:
                lowest, highest = self._seen.get(name, (np.inf, -np.inf))
                self._seen[name] = (
                    min(lowest, float(values.min())),
                    max(highest, float(values.max())),
                )

    def ranges(self) -> Seen:
        return self._seen


class Histogram:
    """What loses least: by entropy (after TensorRT), or by leaving out a share of the outliers.

    Args:
        method: ``entropy`` or ``percentile``.
        percentile: share to keep, in percent.
    """

    def __init__(self, method: str, percentile: float) -> None:
        from onnxruntime.quantization.calibrate import HistogramCollector

        # Bins as ONNX Runtime's own EntropyCalibrater and PercentileCalibrater have them.
        self._collector = HistogramCollector(
            method=method,
            symmetric=False,
            num_bins=128 if method == "entropy" else 2048,
            num_quantized_bins=128,
            percentile=percentile,
            scenario="same",
        )
        self._seen = MinMax()

    def observe(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._seen.observe(tensors)
        whole = {name: values for name, values in tensors.items() if values.size}
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            self._collector.collect(whole)

    def ranges(self) -> Seen:
        with contextlib.redirect_stdout(io.StringIO()):
            found = self._collector.compute_collection_result()
        wanted = {name: (float(item[0]), float(item[1])) for name, item in found.items()}
        return within(wanted, self._seen.ranges())


def observer(name: str, percentile: float) -> Observer:
    """The observer that a recipe names, one of :data:`OBSERVERS`."""
    return MinMax() if name == "minmax" else Histogram(name, percentile)


def within(wanted: Mapping[str, Range], seen: Mapping[str, Range]) -> Seen:
    """Ranges cut to what was seen: a symmetric one covers numbers that never come."""
    return {
        name: (max(lowest, seen[name][0]), min(highest, seen[name][1]))
        for name, (lowest, highest) in wanted.items()
    }
