"""Whose model is it? Finds the frontend that can read what the user brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError
from asrpack.frontends import paddlespeech_u2
from asrpack.frontends.onnx_imported import Imported
from asrpack.frontends.recognised import Recognised
from asrpack.recipe.model_source import Model, OnnxModel, PaddleModel


def look(model: Model, *, weights: bool = False) -> Recognised:
    """Says what the recipe's ``model`` is.

    Args:
        weights: read all of it, too, as a build's first stage does.

    Raises:
        InputError, ErrorGroup: nothing that can be read, or what is wrong with it.
    """
    if isinstance(model, OnnxModel):
        return read_onnx(model).recognised
    if isinstance(model, PaddleModel):
        from asrpack.frontends import paddle_inference

        return paddle_inference.look(model)
    found = recognise(model.path, model.checkpoint)
    if weights:
        read(model.path, model.checkpoint)
    return found


def read_onnx(model: OnnxModel) -> Imported:
    """Reads an ONNX graph or export.

    Raises:
        InputError: all that is wrong with it or with its description.
        ToolchainError: the build toolchain, which reads ONNX, is not installed.
    """
    try:
        from asrpack.frontends import onnx_models
    except ImportError as error:
        raise ToolchainError(
            f"not installed: {error.name}",
            code="tools-missing",
            place=str(model.path),
            remedy="pip install 'asrpack[build]'",
        ) from None
    return onnx_models.read(model)


def recognise(path: Path, checkpoint: str | None = None) -> Recognised:
    """Says what a PaddleSpeech model directory holds, from names and configuration only.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.

    Raises:
        InputError: nothing that can be read; the message says what it looks like instead.
    """
    return paddlespeech_u2.recognise(path, checkpoint)


def read(
    path: Path, checkpoint: str | None = None
) -> tuple[ModelDescription, dict[str, np.ndarray]]:
    """Reads a PaddleSpeech model directory.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.

    Returns:
        The description, and every parameter by PaddleSpeech's name, float32.

    Raises:
        InputError, ErrorGroup: all that is wrong, with file, line and column where there is one.
    """
    return paddlespeech_u2.read(path, checkpoint)
