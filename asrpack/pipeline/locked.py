"""The recipe of a finished build, as its artifact kept it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack.errors import InputError
from asrpack.pipeline.digest import digest_file
from asrpack.pipeline.fetch import load_with_model
from asrpack.recipe.load import LoadedRecipe
from asrpack.report.results import LOCK, RECIPE, read_results


@dataclass(frozen=True)
class Locked:
    """A build to go on from.

    Attributes:
        loaded: its recipe, with the overrides it was built with.
        build: the build's name.
        stages: what each stage was made of and gave: ``components``, ``outputs``.
    """

    folder: Path
    loaded: LoadedRecipe
    build: str
    stages: Mapping[str, Mapping[str, Any]]


def read_locked(artifact: Path, overrides: Sequence[str] = ()) -> Locked:
    """Reads the artifact of an accepted build.

    Args:
        overrides: applied after those of the build.

    Raises:
        InputError: it is none, or its recipe was changed since.
        ErrorGroup: the recipe is at fault.
    """
    lock = read_results(artifact).lock
    try:
        said = lock["recipe"]
        folder, digest = artifact / said["folder"], said["sha256"]
        build, before, stages = said["build"], said["overrides"], lock["stages"]
    except (KeyError, TypeError) as error:
        raise _changed(artifact / LOCK, f"it does not say what was built: {error}") from None
    recipe = artifact / RECIPE
    if not recipe.is_file() or digest_file(recipe) != digest:
        raise _changed(recipe, "it is not the recipe that was built from")
    loaded = load_with_model(recipe, (*before, *overrides), folder=folder.resolve())
    return Locked(artifact, loaded, build, stages)


def _changed(place: Path, message: str) -> InputError:
    return InputError(
        message,
        code="artifact-changed",
        place=str(place),
        remedy="build again: what did not change comes from the cache",
    )
