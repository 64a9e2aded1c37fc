"""A recipe whose model is a tag, as if it named the tag's directory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from asrpack.recipe.load import LoadedRecipe, load_recipe
from asrpack.recipe.model_source import PaddleSpeechModel


def load_with_model(
    path: Path, overrides: Sequence[str] = (), *, folder: Path | None = None
) -> LoadedRecipe:
    """Loads a recipe; PaddleSpeech finds, and fetches, the model of a tag.

    Raises:
        InputError, ErrorGroup: as :func:`asrpack.recipe.load.load_recipe`; no such tag.
        ToolchainError: the model cannot be fetched.
    """
    loaded = load_recipe(path, overrides, folder=folder)
    model = loaded.recipe.model
    if not isinstance(model, PaddleSpeechModel) or model.tag is None:
        return loaded
    from asrpack.frontends.paddlespeech_tag import resolve_tag

    found = resolve_tag(model.tag)
    named = model.model_copy(
        update={"path": found.path, "checkpoint": model.checkpoint or found.checkpoint}
    )
    return replace(loaded, recipe=loaded.recipe.model_copy(update={"model": named}))
