"""Runs the encoder and the decoder graph once on a probe, whatever runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from asrpack.errors import ToolchainError

ENCODER_OUTPUTS: tuple[str, ...] = ("encoder_out", "ctc_log_probs", "out_lens")
DECODER_OUTPUTS: tuple[str, ...] = ("decoder_log_probs",)


def encoder_feed(probe: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the encoder's graph is fed on a probe."""
    return {name: probe[name] for name in ("feats", "feat_lens")}


def decoder_feed(
    probe: Mapping[str, np.ndarray], encoded: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What the decoder's graph is fed on a probe, given the encoder's outputs."""
    return {
        "encoder_out": encoded["encoder_out"],
        "encoder_lens": encoded["out_lens"],
        "hyps_in": probe["hyps_in"],
        "hyps_lens": probe["hyps_lens"],
    }


def graph_outputs(
    folder: Path, probe: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs of ``encoder.onnx`` and, where it is there, ``decoder.onnx`` on a probe.

    The decoder is fed ``expected``'s encoder outputs, so that it is judged by itself.

    Args:
        folder: where the graphs are.
        probe: ``feats`` (B, T, D), ``feat_lens`` (B,), ``hyps_in`` (B, L), ``hyps_lens`` (B,).
        expected: ``encoder_out`` (B, T', H) and ``out_lens`` (B,) of the step before.

    Raises:
        ToolchainError: ONNX Runtime cannot load or run a graph.
    """
    found = run_onnx(folder / "encoder.onnx", encoder_feed(probe), ENCODER_OUTPUTS)
    decoder = folder / "decoder.onnx"
    if decoder.is_file():
        found |= run_onnx(decoder, decoder_feed(probe, expected), DECODER_OUTPUTS)
    return found


def run_onnx(
    path: Path, feed: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> dict[str, np.ndarray]:
    """Runs one ONNX file on the CPU.

    Raises:
        ToolchainError: ONNX Runtime cannot load or run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: graphs just converted have harmless leftovers
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        values = session.run(list(outputs), dict(feed))
    # ONNX Runtime raises many classes, all private.
    except Exception as error:
        raise ToolchainError(
            f"ONNX Runtime cannot run {path.name}: {error}",
            code="onnxruntime-failed",
            place=path.name,
            remedy="check that ONNX Runtime is a supported version with `asrpack doctor`",
        ) from error
    return dict(zip(outputs, (np.asarray(value) for value in values), strict=True))
