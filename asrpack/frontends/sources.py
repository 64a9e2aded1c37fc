"""Whose model is it? Finds the frontend that can read what the user brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.frontends import paddlespeech_u2
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
        # It imports onnx, which an installation that only verifies bundles does not have.
        from asrpack.frontends import onnx_models

        return onnx_models.look(model)
    if isinstance(model, PaddleModel):
        from asrpack.frontends import paddle_inference

        return paddle_inference.look(model)
    found = recognise(model.path, model.checkpoint)
    if weights:
        read(model.path, model.checkpoint)
    return found


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
