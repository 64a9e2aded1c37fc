"""A finished build, as its artifact kept it: the recipe, and what its lock says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack.errors import InputError
from asrpack.pipeline.digest import digest_file
from asrpack.pipeline.fetch import load_with_model
from asrpack.recipe.load import LoadedRecipe
from asrpack.report.results import LOCK, RECIPE, REJECTED, read_results


@dataclass(frozen=True)
class Locked:
    """A build to go on from.

    Attributes:
        loaded: its recipe, with the overrides it was built with.
        build: the build's name.
        stages: what each stage was made of and gave: ``components``, ``outputs``. Those of a
            rejected build end with the gate.
        lock: all of the lock.
    """

    folder: Path
    loaded: LoadedRecipe
    build: str
    stages: Mapping[str, Mapping[str, Any]]
    lock: Mapping[str, Any]


def read_locked(
    artifact: Path, overrides: Sequence[str] = (), *, folder: Path | None = None
) -> Locked:
    """Reads an artifact, or its ``rejected``.

    Args:
        overrides: applied after those of the build.
        folder: where what the recipe names is now; None for where it was.

    Raises:
        InputError: it is none, or its recipe was changed since.
        ErrorGroup: the recipe is at fault.
    """
    lock = read_results(artifact).lock
    try:
        said = lock["recipe"]
        top = artifact.parent if artifact.absolute().name == REJECTED else artifact
        base, digest = top / said["folder"], said["sha256"]
        build, before, stages = said["build"], said["overrides"], lock["stages"]
    except (KeyError, TypeError) as error:
        raise _changed(artifact / LOCK, f"it does not say what was built: {error}") from None
    recipe = artifact / RECIPE
    if not recipe.is_file() or digest_file(recipe) != digest:
        raise _changed(recipe, "it is not the recipe that was built from")
    loaded = load_with_model(recipe, (*before, *overrides), folder=(folder or base).resolve())
    return Locked(artifact, loaded, build, stages, lock)


def _changed(place: Path, message: str) -> InputError:
    return InputError(
        message,
        code="artifact-changed",
        place=str(place),
        remedy="build again: what did not change comes from the cache",
    )
