"""Holds an imported graph against the file that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from asrpack.bundle.model import ModelDescription
from asrpack.measure.cases import Case
from asrpack.measure.compare import FLOAT32_TOLERANCE, compare
from asrpack.networks.foreign import ForeignEncoder
from asrpack.networks.foreign_run import log_probabilities, run_foreign

# Numbers of 11 bits, through some tens of layers.
HALF_TOLERANCE = 0.5


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
    session = onnxruntime.InferenceSession(
        model / file if model.is_dir() else model, providers=["CPUExecutionProvider"]
    )
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
