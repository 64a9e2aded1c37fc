"""Whose model is it? Finds the frontend that can read what the user brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.frontends import paddlespeech_deepspeech2, paddlespeech_u2
from asrpack.frontends.model_directory import require_config
from asrpack.frontends.paddlespeech_config import Document
from asrpack.frontends.recognised import Recognised


def recognise(path: Path, checkpoint: str | None = None) -> Recognised:
    """Says what a model directory holds, from names and configuration only.

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
    path: Path, checkpoint: str | None = None, *, streaming: bool = False
) -> tuple[ModelDescription, dict[str, np.ndarray]]:
    """Reads a PaddleSpeech model directory.

    Args:
        path: the directory, as PaddleSpeech unpacks a model.
        checkpoint: see :func:`asrpack.frontends.model_directory.find_checkpoint`.
        streaming: describe it as one that is run chunk by chunk.

    Returns:
        The description, and every parameter by PaddleSpeech's name, float32.

    Raises:
        InputError, ErrorGroup: all that is wrong, with file, line and column where there is one;
            ``streaming`` asked of a model that cannot is wrong, too.
    """
    if _is_deepspeech2(path):
        return paddlespeech_deepspeech2.read(path, checkpoint, streaming=streaming)
    return paddlespeech_u2.read(path, checkpoint, streaming=streaming)


def _is_deepspeech2(path: Path) -> bool:
    return paddlespeech_deepspeech2.describes(Document.read(require_config(path)).values)
