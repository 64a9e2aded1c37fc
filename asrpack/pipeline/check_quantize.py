"""Checks what a recipe's ``quantize`` sections need of the rest of it."""

from __future__ import annotations

from collections.abc import Iterator

from asrpack.errors import AsrpackError
from asrpack.recipe.load import LoadedRecipe
from asrpack.recipe.quantize import PADDLESLIM_OBSERVERS


def quantization_faults(loaded: LoadedRecipe) -> Iterator[AsrpackError]:
    """What is missing for the quantization that each build asks for."""
    recipe = loaded.recipe
    for name, build in recipe.builds.items():
        quantize = build.quantize
        at = ("builds", name, "quantize")
        if (option := quantize.needs_calibration) and recipe.data.calibration is None:
            yield loaded.fault(
                (*at, option),
                f"`{option}` is fitted to speech, and the recipe has no calibration set",
                code="no-calibration",
                remedy="add `data: {calibration: {manifest: …}}`: some minutes of real speech "
                "that is not in the test set",
            )
        if quantize.observer in PADDLESLIM_OBSERVERS and recipe.model.source != "paddlespeech":
            yield loaded.fault(
                (*at, "observer"),
                f"PaddleSlim's observer {quantize.observer} runs over a network in Paddle, and a "
                f"model whose source is {recipe.model.source} has none",
                code="observer-source",
                remedy="choose one of ONNX Runtime's observers: minmax, entropy, percentile",
            )
