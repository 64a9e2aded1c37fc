"""How far a graph's outputs move when its inputs move by a rounding of float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asrpack.measure.cases import Case, Run
from asrpack.measure.compare import FLOAT32_TOLERANCE

# Every layer of a graph rounds, not its input alone.
_LAYERS = 10.0


def own_tolerance(cases: Sequence[Case], run: Run) -> float:
    """What a graph from elsewhere may differ by when its operators are put in another order.

    A graph that takes logarithms of spectra of its own enlarges roundings: 7e-4 was seen for one
    on the samples, where PaddleSpeech's networks stay below 1e-5.
    """
    generator = np.random.default_rng(0)
    moved = 0.0
    for case in cases:
        feed = {
            name: value
            * generator.choice([1 - 2**-24, 1 + 2**-23], value.shape).astype(value.dtype)
            if value.dtype == np.float32
            else value
            for name, value in case.feed.items()
        }
        # Not against the case's own outputs: a graph that is wrong must not widen its bound.
        plain, found = run(case.graph, case.feed), run(case.graph, feed)
        for name, values in plain.items():
            if values.dtype.kind == "f" and values.size:
                moved = max(moved, float(np.abs(found[name] - values).max()))
    return max(FLOAT32_TOLERANCE, _LAYERS * moved)
