"""Programs in Paddle's inference format that others exported: the old one made new, and run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import inference

from asrpack.errors import ToolchainError


def to_pir(program: Path, parameters: Path, target: Path) -> None:
    """Writes a program as ``target`` + ``.json`` and ``.pdiparams``, which paddle2onnx takes.

    Args:
        program: ``.json`` (copied) or the old ``.pdmodel`` (translated by Paddle; its parameters
            are stored alike in both).

    Raises:
        ToolchainError: Paddle cannot read or translate it.
    """
    shutil.copyfile(parameters, target.with_name(f"{target.name}.pdiparams"))
    wanted = target.with_name(f"{target.name}.json")
    if program.suffix == ".json":
        shutil.copyfile(program, wanted)
        return
    paddle.enable_static()
    try:
        executor = paddle.static.Executor(paddle.CPUPlace())
        with paddle.pir_utils.OldIrGuard():
            old, _, _ = paddle.static.load_inference_model(
                str(program.parent),
                executor,
                model_filename=program.name,
                params_filename=parameters.name,
            )
        translated = paddle.pir.translate_to_pir(old.desc)
        paddle.base.core.serialize_pir_program(translated, str(wanted))
    # Paddle raises whatever the operator at fault raises.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ToolchainError(
            f"Paddle {paddle.__version__} cannot translate the old format: "
            f"{lines[-1] if lines else type(error).__name__}",
            code="paddle-translate",
            place=str(program),
            remedy="export the model again with Paddle 3, which writes .json",
        ) from error
    finally:
        paddle.disable_static()


def run_program(program: Path, parameters: Path, feed: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Runs a program once with Paddle Inference; its outputs by name."""
    config = inference.Config(str(program), str(parameters))
    config.disable_gpu()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    for name in predictor.get_input_names():
        predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(feed[name]))
    predictor.run()
    return {
        name: predictor.get_output_handle(name).copy_to_cpu()
        for name in predictor.get_output_names()
    }
