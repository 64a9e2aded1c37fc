"""Saves the two graphs of a U2 model in Paddle's inference format, and runs saved files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle import inference, nn
from paddle.static import InputSpec

from asrpack.errors import ToolchainError
from asrpack.networks.u2 import U2, DecoderGraph, EncoderGraph
from asrpack.networks.u2_spec import U2Spec


def run_network(layer: nn.Layer, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs of a graph's layer, run operator by operator; ``feed`` in the order it takes."""
    with paddle.no_grad():
        outputs = layer(*(paddle.to_tensor(value) for value in feed.values()))
    if not isinstance(outputs, list | tuple):
        outputs = [outputs]
    return [value.numpy() for value in outputs]


def save(model: U2, spec: U2Spec, folder: Path) -> None:
    """Writes ``encoder`` and ``decoder`` (``.json`` + ``.pdiparams``) into ``folder``.

    The bytes depend on what the process has built before: Paddle numbers layers and temporaries.

    Raises:
        ToolchainError: Paddle cannot trace or save a graph.
    """
    size = spec.encoder.output_size
    encoder_inputs = [
        InputSpec(shape=[None, None, spec.encoder.input_dim], dtype="float32", name="feats"),
        InputSpec(shape=[None], dtype="int64", name="feat_lens"),
    ]
    decoder_inputs = [
        InputSpec(shape=[None, None, size], dtype="float32", name="encoder_out"),
        InputSpec(shape=[None], dtype="int64", name="encoder_lens"),
        InputSpec(shape=[None, None], dtype="int64", name="hyps_in"),
        InputSpec(shape=[None], dtype="int64", name="hyps_lens"),
    ]
    _save(EncoderGraph(model), encoder_inputs, folder / "encoder")
    _save(DecoderGraph(model), decoder_inputs, folder / "decoder")


def run_saved(path: Path, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Loads ``path`` + ``.json`` and ``.pdiparams`` with Paddle Inference and runs them once."""
    config = inference.Config(f"{path}.json", f"{path}.pdiparams")
    config.disable_gpu()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    for name, value in feed.items():
        predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(value))
    predictor.run()
    names = predictor.get_output_names()
    return [predictor.get_output_handle(name).copy_to_cpu() for name in names]


def _save(layer: nn.Layer, inputs: list[InputSpec], path: Path) -> None:
    try:
        with paddle.utils.unique_name.guard():
            traced = paddle.jit.to_static(layer, input_spec=inputs, full_graph=True)
            paddle.jit.save(layer=traced, path=str(path))
    # Paddle raises whatever the operator at fault raises.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ToolchainError(
            f"Paddle cannot export the {path.name}: {lines[-1] if lines else type(error).__name__}",
            code="export-failed",
            place=f"export: {path.name}",
            remedy="check that Paddle is a supported version with `asrpack doctor`",
        ) from error
