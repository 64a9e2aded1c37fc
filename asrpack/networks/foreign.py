"""How the graph of another toolkit gives asrpack's interface: a declaration, free of any toolkit.

A frontend writes it when it recognises a graph; :mod:`asrpack.graph.normalise` rewrites the graph
by it, and the ``expect`` stage runs the original graph by it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.model import FbankSpec, ModelDescription
from asrpack.networks.interface import GraphSpec, TensorSpec, floats, integers

LOG_PROBABILITIES, LOGITS, PROBABILITIES = "log_probabilities", "logits", "probabilities"
# Families whose graphs were made elsewhere: their interface follows from the description.
FAMILIES = ("onnx_ctc", "wenet_onnx", "sherpa_onnx", "paddle_inference")


@dataclass(frozen=True)
class ForeignEncoder:
    """Names and layouts of a CTC graph's inputs and outputs.

    Attributes:
        features: the input with features (B, T, D), or samples (B, n).
        features_axes: where batch, time and (for features) bins are in it; ``"BTD"``, ``"BDT"``,
            ``"BT"``, ``"B1T"``.
        lengths: the input with valid steps (B,), or None where the graph has none.
        constants: further inputs, by name: nested lists of the numbers they are always given, or
            ``{"zeros": shape}``.
        skip: the first frames of the scores that are no speech (SenseVoice: 4).
        scores: the output with a score for each frame and unit.
        scores_axes: order of batch, time and units in it, e.g. ``"BTV"``.
        kind: what the scores are: log-probabilities, logits or probabilities.
        out_lengths: the output with valid frames (B,), or None.
        encoder_out: the output that an attention decoder takes, or None.
    """

    features: str
    features_axes: str
    lengths: str | None
    scores: str
    scores_axes: str = "BTV"
    kind: str = LOG_PROBABILITIES
    out_lengths: str | None = None
    encoder_out: str | None = None
    constants: dict[str, Any] = field(default_factory=dict)
    skip: int = 0

    def to_dict(self) -> dict[str, Any]:
        """For ``ModelDescription.network``."""
        return asdict(self)


def constant_array(value: Any) -> NDArray[Any]:
    """One of :attr:`ForeignEncoder.constants` as an array; its type is the input's."""
    return np.zeros(value["zeros"]) if isinstance(value, dict) else np.asarray(value)


def graph_specs(description: ModelDescription) -> tuple[GraphSpec, ...]:
    """The graphs of an imported model, as :class:`asrpack.runtime.recognizer.Recognizer` has them.

    Args:
        description: whose ``network`` has ``encoder_size`` where there is a decoder.
    """
    front_end, units = description.front_end, len(description.tokens)
    feats = floats("feats", "B", "T")
    if isinstance(front_end, FbankSpec):
        feats = floats("feats", "B", "T", front_end.dim)
    scores = floats("ctc_log_probs", "B", "T_out", units, length="out_lens")
    outputs: tuple[TensorSpec, ...] = (scores,)
    specs: tuple[GraphSpec, ...] = ()
    if description.has_decoder:
        size = description.network["encoder_size"]
        outputs = (floats("encoder_out", "B", "T_out", size, length="out_lens"), scores)
        decoder_inputs = (
            floats("encoder_out", "N", "T_out", size),
            integers("encoder_lens", "N"),
            integers("hyps_in", "N", "L"),
            integers("hyps_lens", "N"),
        )
        decoder_out = floats("decoder_log_probs", "N", "L", units, length="hyps_lens")
        specs = (GraphSpec("decoder", decoder_inputs, (decoder_out,)),)
    inputs = (feats, integers("feat_lens", "B"))
    return (GraphSpec("encoder", inputs, (*outputs, integers("out_lens", "B"))), *specs)
