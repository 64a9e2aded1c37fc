"""Runs somebody else's graph as it is, by its declaration."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.networks.foreign import LOGITS, PROBABILITIES, ForeignEncoder, constant_array

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
# The least probability whose logarithm is taken: below it float32 has no numbers.
LEAST = 1.2e-38


def run_foreign(
    session: Any, encoder: ForeignEncoder, feats: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """All outputs by their own names.

    Args:
        session: of ONNX Runtime, on the original graph.
        feats: (B, T, D) or (B, n), every row valid to its end.
    """
    ports = {item.name: item for item in session.get_inputs()}
    lengths = np.full(len(feats), feats.shape[1])
    values: dict[str, Any] = {encoder.features: arrange(feats, encoder.features_axes)}
    if encoder.lengths is not None:
        values[encoder.lengths] = lengths
    for name, value in encoder.constants.items():
        values[name] = constant_array(value)
        if values[name].ndim == 1 and not isinstance(ports[name].shape[0], int):
            values[name] = np.broadcast_to(values[name], len(feats))  # one for each utterance
    feed: dict[str, NDArray[Any]] = {
        name: np.ascontiguousarray(value, dtype=_DTYPES[ports[name].type])
        for name, value in values.items()
    }
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def arrange(feats: NDArray[np.float32], axes: str) -> NDArray[np.float32]:
    """Features (B, T, D), or samples (B, n), in the order of a graph's input."""
    if axes == "B1T":
        return feats[:, None]
    if axes == "BDT":
        return feats.transpose(0, 2, 1)
    return feats


def log_probabilities(encoder: ForeignEncoder, scores: NDArray[Any]) -> NDArray[np.float32]:
    """The graph's scores as asrpack's: (B, T', V), natural logarithm."""
    ordered = np.transpose(scores, [encoder.scores_axes.index(axis) for axis in "BTV"])
    ordered = ordered.astype(np.float32)[:, encoder.skip :]
    if encoder.kind == PROBABILITIES:
        logs: NDArray[np.float32] = np.log(np.maximum(ordered, np.float32(LEAST)))
        return logs
    if encoder.kind == LOGITS:
        shifted = ordered - ordered.max(-1, keepdims=True)
        found: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        return found
    return ordered
