"""What a recipe says, as data that may be shown: no keys, no paths of the vendor's disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrpack.recipe.load import LoadedRecipe


def recipe_content(loaded: LoadedRecipe, build: str) -> dict[str, Any]:
    """One build's part of a recipe, overrides applied, by the recipe's own names.

    What has its default is left out; so is ``protect``, which names customers and keys.
    """
    recipe = loaded.recipe
    said = recipe.model_dump(by_alias=True, exclude_defaults=True, exclude={"protect"})
    said["builds"] = {build: said["builds"][build]}
    shown: dict[str, Any] = _shown(said, loaded.folder)
    return shown


def shown_path(path: Path, folder: Path) -> str:
    """Nobody needs to know where else on the vendor's disk it was."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _shown(value: Any, folder: Path) -> Any:
    if isinstance(value, Path):
        return shown_path(value, folder)
    if isinstance(value, Mapping):
        return {name: _shown(item, folder) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item, folder) for item in value]
    return value
