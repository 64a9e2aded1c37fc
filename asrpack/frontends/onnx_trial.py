"""What a CTC graph does not say, found by running it: axes, kind of scores, subsampling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import Cmvn, FrontEndSpec
from asrpack.errors import InputError
from asrpack.networks.foreign import (
    LOG_PROBABILITIES,
    LOGITS,
    PROBABILITIES,
    ForeignEncoder,
)
from asrpack.networks.foreign_run import run_foreign
from asrpack.runtime.front_end import FULL_SCALE, FrontEnd

_SECONDS = (2.0, 4.0)
# Sums of probabilities, of fp16 graphs as well.
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class Trial:
    """What was found.

    Attributes:
        encoder: with the axes and the kind of its scores.
        units: of the graph's scores.
        subsampling: input steps for one output frame.
        right_context: input steps that are too few by one or more to give a frame.
    """

    encoder: ForeignEncoder
    units: int
    subsampling: int
    right_context: int


def try_graph(
    session: Any,
    encoder: ForeignEncoder,
    front_end: FrontEndSpec,
    cmvn: Cmvn | None,
    units: int,
    place: str,
) -> Trial:
    """Runs the graph on noise of several lengths.

    Args:
        session: of ONNX Runtime, on the original graph.
        encoder: its ``scores_axes`` and ``kind`` are found here.
        units: how many the vocabulary has.
        place: what messages call the graph.

    Raises:
        InputError: it fails, gives no frames, has no axis of ``units``, or gives what is not a
            number.
    """
    frontend = FrontEnd(front_end, cmvn)
    noise = np.random.default_rng(0).standard_normal(int(_SECONDS[1] * front_end.sample_rate))
    samples = (noise * 0.05 * FULL_SCALE).astype(np.float32)
    feats = [frontend(samples[: int(s * front_end.sample_rate)]) for s in _SECONDS]
    raw = [_raw(session, encoder, item, place) for item in feats]
    axes = _axes(raw[0].shape, raw[1].shape, units, place)
    encoder = replace(encoder, scores_axes=axes)
    scores = [np.transpose(item, [axes.index(axis) for axis in "BTV"])[0] for item in raw]
    if not all(np.isfinite(item).all() for item in scores):
        raise _fault("the graph's scores are not finite numbers", place, "export the model again")
    encoder = replace(encoder, kind=_kind(scores[0]))
    frames = [len(item) for item in scores]
    subsampling = round((len(feats[1]) - len(feats[0])) / (frames[1] - frames[0]))
    least = _least(session, encoder, feats[0])
    return Trial(encoder, units, subsampling, least - 1)


def _raw(
    session: Any, encoder: ForeignEncoder, feats: NDArray[np.float32], place: str
) -> NDArray[Any]:
    try:
        return np.asarray(run_foreign(session, encoder, feats[None])[encoder.scores])
    except Exception as error:  # onnxruntime's exceptions share no public base class
        lines = str(error).splitlines() or [type(error).__name__]
        raise _fault(
            f"the graph does not run on {len(feats)} frames of noise: {lines[0]}",
            place,
            "check the names and the front end in the recipe's `model` against the graph; a "
            "further input needs its value in model.inputs.constants",
        ) from error


def _axes(first: tuple[int, ...], second: tuple[int, ...], units: int, place: str) -> str:
    """Which axis is time (it grows with the input), units, and batch."""
    if len(first) != 3:
        raise _fault(
            f"the scores have {len(first)} axes, not batch, time and units",
            place,
            "set model.outputs.scores to the output with a score for each frame and unit",
        )
    time = [axis for axis in range(3) if second[axis] > first[axis]]
    if len(time) != 1:
        raise _fault(
            f"the scores' shape is {first} for 2 s and {second} for 4 s: no axis is time",
            place,
            "export the model with a dynamic time axis",
        )
    rest = [axis for axis in range(3) if axis != time[0]]
    unit = [axis for axis in rest if first[axis] == units]
    if not unit:
        found = max(first[axis] for axis in rest)
        raise _fault(
            f"there are {units} units, and the graph has {found} outputs",
            place,
            "give the units that the model was trained with, special ones included",
        )
    names = {time[0]: "T", unit[-1]: "V"}
    return "".join(names.get(axis, "B") for axis in range(3))


def _kind(scores: NDArray[Any]) -> str:
    values = scores.astype(np.float64)
    if (values >= 0).all() and np.allclose(values.sum(1), 1, atol=_TOLERANCE):
        return PROBABILITIES
    top = values.max(1)
    mass = np.log(np.exp(values - top[:, None]).sum(1)) + top
    return LOG_PROBABILITIES if np.allclose(mass, 0, atol=_TOLERANCE) else LOGITS


def _least(session: Any, encoder: ForeignEncoder, feats: NDArray[np.float32]) -> int:
    """The fewest input steps that give a frame."""

    def gives(count: int) -> bool:
        try:
            found = run_foreign(session, encoder, feats[None, :count])
        except Exception:  # onnxruntime's exceptions share no public base class
            return False
        scores = np.asarray(found[encoder.scores])
        valid = scores.shape[encoder.scores_axes.index("T")] - encoder.skip
        if encoder.out_lengths is not None:
            valid = min(valid, int(np.asarray(found[encoder.out_lengths]).reshape(-1)[0]))
        return valid > 0 and bool(np.isfinite(scores).all())

    low, high = 0, len(feats)  # the first fails, the second works
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gives(middle) else (middle, high)
    return high


def _fault(message: str, place: str, remedy: str) -> InputError:
    return InputError(message, code="onnx-interface", place=place, remedy=remedy)
