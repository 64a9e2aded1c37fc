"""Whose ONNX export is it? Finds the frontend that reads it."""

from __future__ import annotations

from asrpack.frontends import onnx_ctc
from asrpack.frontends.onnx_imported import Imported
from asrpack.frontends.recognised import Recognised
from asrpack.recipe.model_source import OnnxModel


def look(model: OnnxModel) -> Recognised:
    """What a graph or an export is.

    Raises:
        InputError: as :func:`read`.
    """
    found = read(model)
    return Recognised(found.description.family, found.reason, found.sources, found.files["encoder"])


def read(model: OnnxModel) -> Imported:
    """Reads a graph, or an export that is known by its files or metadata.

    Raises:
        InputError: all that is wrong with it or with its description.
    """
    return onnx_ctc.read(model)
