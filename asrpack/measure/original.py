"""Holds an imported graph against the file that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from asrpack.bundle.model import ModelDescription
from asrpack.measure.cases import Case
from asrpack.measure.compare import FLOAT32_TOLERANCE, compare
from asrpack.networks.foreign import ForeignEncoder
from asrpack.networks.foreign_run import log_probabilities, run_foreign

# Numbers of 11 bits, through some tens of layers.
HALF_TOLERANCE = 0.5
# The original is a program of Paddle Inference, ``encoder`` in its folder.
PADDLE = "paddle"


def compare_original(description: ModelDescription, model: Path, cases: Sequence[Case]) -> str:
    """Runs the original graph on the encoder's cases, whose features are the same.

    Args:
        description: whose ``network`` has the original's declaration.
        model: the original, a file or the export's folder.

    Returns:
        What was found, for people.

    Raises:
        ToolchainError: it gives other log-probabilities.
    """
    file = description.network.get("original")
    if file is None:
        return "the original takes other inputs: not compared"
    encoder = ForeignEncoder(**description.network["encoder"])
    session: Any
    if file == PADDLE:
        session = _PaddleSession(model, description.network["ports"], encoder.scores)
    else:
        path = model / file if model.is_dir() else model
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    tolerance = HALF_TOLERANCE if description.network["half"] else FLOAT32_TOLERANCE
    worst = 0.0
    for case in cases:
        if case.graph == "encoder":
            raw = np.asarray(run_foreign(session, encoder, case.feed["feats"])[encoder.scores])
            scores = {"ctc_log_probs": log_probabilities(encoder, raw)}
            made = {"ctc_log_probs": case.expected["ctc_log_probs"]}
            found = compare("import", scores, made, tolerance=tolerance, lengths=case.lengths)
            worst = max(worst, found[0].largest)
    return f"largest difference to the original {worst:.1e}"


@dataclass(frozen=True)
class _Port:
    name: str
    type: str = ""
    shape: tuple[Any, ...] = ()


class _PaddleSession:
    """Paddle Inference in the shape of an ONNX Runtime session.

    Paddle does not tell the types of inputs; the import found them in the converted graph.
    """

    def __init__(self, folder: Path, ports: Sequence[Sequence[Any]], scores: str) -> None:
        self._program, self._parameters = folder / "encoder.json", folder / "encoder.pdiparams"
        self._ports = [_Port(name, kind, tuple(shape)) for name, kind, shape in ports]
        self._scores = scores

    def get_inputs(self) -> list[_Port]:
        return self._ports

    def get_outputs(self) -> list[_Port]:
        return [_Port(self._scores)]

    def run(self, names: Sequence[str], feed: Any) -> list[Any]:
        from asrpack.networks.paddle_program import run_program

        found = run_program(self._program, self._parameters, feed)
        return [found[name] for name in names]
