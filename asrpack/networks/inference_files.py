"""Saves the graphs of a model in Paddle's inference format, and runs layers and saved files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle import inference, nn
from paddle.static import InputSpec

from asrpack.errors import ToolchainError
from asrpack.networks.interface import GraphSpec


def run_layer(
    layer: nn.Layer, spec: GraphSpec, feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """A graph's outputs by name, its layer run operator by operator."""
    with paddle.no_grad():
        outputs = layer(*(paddle.to_tensor(feed[item.name]) for item in spec.inputs))
    if not isinstance(outputs, list | tuple):
        outputs = [outputs]
    return _named(spec, [value.numpy() for value in outputs])


def save(layer: nn.Layer, spec: GraphSpec, folder: Path) -> None:
    """Writes the graph's ``.json`` and ``.pdiparams`` into ``folder``.

    The bytes depend on what the process has built before: Paddle numbers layers and temporaries.

    Raises:
        ToolchainError: Paddle cannot trace or save it.
    """
    inputs = [
        InputSpec(
            shape=[None if isinstance(dim, str) else dim for dim in item.dims],
            dtype=item.dtype,
            name=item.name,
        )
        for item in spec.inputs
    ]
    try:
        with paddle.utils.unique_name.guard():
            traced = paddle.jit.to_static(layer, input_spec=inputs, full_graph=True)
            paddle.jit.save(layer=traced, path=str(folder / spec.name))
    # Paddle raises whatever the operator at fault raises.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ToolchainError(
            f"Paddle cannot export the {spec.name}: {lines[-1] if lines else type(error).__name__}",
            code="export-failed",
            place=f"export: {spec.name}",
            remedy="check that Paddle is a supported version with `asrpack doctor`",
        ) from error


def run_saved(
    folder: Path, spec: GraphSpec, feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Loads a saved graph with Paddle Inference and runs it once; its outputs by name."""
    path = folder / spec.name
    config = inference.Config(f"{path}.json", f"{path}.pdiparams")
    config.disable_gpu()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    for name in predictor.get_input_names():
        predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(feed[name]))
    predictor.run()
    names = predictor.get_output_names()
    return _named(spec, [predictor.get_output_handle(name).copy_to_cpu() for name in names])


def _named(spec: GraphSpec, values: list[np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip(spec.output_names, values, strict=True))
