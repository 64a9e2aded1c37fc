"""How much each layer's rounding changes what a graph says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from asrpack.measure.cases import Case
from asrpack.runtime.engines.onnxruntime import open_session

_SCORES = "log_probs"


def sensitivities(
    graph: bytes, switch_input: str, wanted: Sequence[bool], cases: Sequence[Case]
) -> Iterator[float]:
    """Yields the divergence that each wanted layer causes alone, in the layers' order.

    Args:
        graph: with a bool input of as many switches as ``wanted`` has, all off being fp32.
        switch_input: that input's name.
        wanted: which layers to measure.
        cases: calls of this graph on real speech.

    Yields:
        Kullback-Leibler divergence of the units' distributions from fp32's, in nats: the mean
        over valid frames (or units) of all cases.
    """
    session = open_session(graph, "switched.onnx")
    names = [item.name for item in session.get_outputs() if item.name.endswith(_SCORES)]

    def run(on: NDArray[np.bool_], case: Case) -> dict[str, NDArray[np.float32]]:
        values = session.run(names, {**case.feed, switch_input: on})
        return dict(zip(names, map(np.asarray, values), strict=True))

    off = np.zeros(len(wanted), np.bool_)
    exact = [run(off, case) for case in cases]
    for index in np.flatnonzero(wanted):
        on = off.copy()
        on[index] = True
        total, frames = 0.0, 0
        for case, expected in zip(cases, exact, strict=True):
            found = run(on, case)
            for name in names:
                part, valid = _divergence(expected[name], found[name], case.lengths.get(name))
                total, frames = total + part, frames + valid
        yield total / max(1, frames)


def _divergence(
    expected: NDArray[np.float32], found: NDArray[np.float32], lengths: NDArray[np.int64] | None
) -> tuple[float, int]:
    """Sum over valid rows (B, T), and their number."""
    terms = np.exp(expected) * (expected - found)
    # exp(-inf) * (-inf - -inf) is 0: what has no probability weighs nothing.
    rows = np.where(np.isneginf(expected), 0.0, terms).sum(axis=-1)
    if lengths is None:
        return float(rows.sum()), rows.size
    valid = np.arange(rows.shape[1]) < np.asarray(lengths)[:, None]
    return float(rows[valid].sum()), int(valid.sum())


def plain_cases(cases: Sequence[Case], graph: str) -> list[Case]:
    """Those of one graph on whole recordings and hypotheses."""
    return [case for case in cases if case.graph == graph and not case.label]
