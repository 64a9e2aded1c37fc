"""Whose model is it? Finds the frontend that can read what the user brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError
from asrpack.frontends import paddlespeech_deepspeech2, paddlespeech_u2
from asrpack.frontends.model_directory import require_config
from asrpack.frontends.onnx_imported import Imported
from asrpack.frontends.paddlespeech_config import Document
from asrpack.frontends.paddlespeech_u2 import no_right_decoder
from asrpack.frontends.recognised import Recognised
from asrpack.recipe.model_source import Model, OnnxModel, PaddleModel


def look(
    model: Model, *, weights: bool = False, streaming: bool = False, right_to_left: bool = False
) -> Recognised:
    """Says what the recipe's ``model`` is.

    Args:
        weights: read all of it, too, as a build's first stage does.
        streaming, right_to_left: what else the recipe asks of it; see :func:`read`.

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
        read(model.path, model.checkpoint, streaming=streaming, right_to_left=right_to_left)
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
    if _is_deepspeech2(path):
        return paddlespeech_deepspeech2.recognise(path, checkpoint)
    return paddlespeech_u2.recognise(path, checkpoint)


def read(
    path: Path,
    checkpoint: str | None = None,
    *,
    streaming: bool = False,
    right_to_left: bool = False,
) -> tuple[ModelDescription, dict[str, np.ndarray]]:
    """Reads a PaddleSpeech model directory.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.
        streaming: describe it as one that is run chunk by chunk.
        right_to_left: take its right-to-left decoder, too.

    Returns:
        The description, and every parameter by PaddleSpeech's name, float32.

    Raises:
        InputError, ErrorGroup: all that is wrong, with file, line and column where there is one;
            what is asked of a model that cannot is wrong, too.
    """
    if _is_deepspeech2(path):
        if right_to_left:
            raise no_right_decoder(Document.read(require_config(path)))
        return paddlespeech_deepspeech2.read(path, checkpoint, streaming=streaming)
    return paddlespeech_u2.read(path, checkpoint, streaming=streaming, right_to_left=right_to_left)


def _is_deepspeech2(path: Path) -> bool:
    return paddlespeech_deepspeech2.describes(Document.read(require_config(path)).values)
