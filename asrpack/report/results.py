"""What a build measured and decided, read from the artifact that it left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack.errors import InputError

EVALUATION, GATE, SEARCH, LOCK = "evaluation.json", "gate.json", "search.json", "asrpack.lock"
REJECTED = "rejected"
# What `asrpack personalize` made of the build.
CUSTOMERS = "customers"
# Who got what, beside the artifacts.
REGISTRY = "registry.sqlite"
# A copy of the recipe, to build again from.
RECIPE = "recipe.yaml"
_FORMATS = {EVALUATION: 1, SEARCH: 1, LOCK: 2}


@dataclass(frozen=True)
class Results:
    """The contents of the files of the same names; ``search`` is None where none was made."""

    evaluation: dict[str, Any]
    gate: dict[str, Any]
    lock: dict[str, Any]
    search: dict[str, Any] | None = None


def read_results(folder: Path) -> Results:
    """Reads an artifact, or its ``rejected`` folder.

    Raises:
        InputError: a file is missing, or cannot be read, or is of another version.
    """
    if not (folder / EVALUATION).is_file():
        raise _no_results(folder)
    search = read_result(folder / SEARCH) if (folder / SEARCH).exists() else None
    return Results(
        read_result(folder / EVALUATION),
        read_result(folder / GATE),
        read_result(folder / LOCK),
        search,
    )


def other_version(place: Path) -> InputError:
    """The error for a file that this version cannot show."""
    return InputError(
        "it is not as this version of asrpack writes it",
        code="report-version",
        place=str(place),
        remedy="build again: what did not change comes from the cache",
    )


def read_result(path: Path) -> dict[str, Any]:
    """One of an artifact's files of JSON.

    Raises:
        InputError: it cannot be read, is no JSON object, or is of another version.
    """
    try:
        value = json.loads(path.read_bytes(), parse_constant=_refuse)
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}",
            code="report-input",
            place=str(path),
            remedy="build again, or give the folder that a build left",
        ) from None
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"is not JSON: {error}",
            code="report-input",
            place=str(path),
            remedy="build again: the file was changed since",
        ) from None
    if not isinstance(value, dict) or value.get("format") != _FORMATS.get(path.name):
        raise other_version(path)
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _no_results(folder: Path) -> InputError:
    if (folder / REJECTED / EVALUATION).is_file():
        return InputError(
            "the build was rejected by its gate; nothing else is there",
            code="report-rejected",
            place=str(folder),
            remedy=f"asrpack report {folder / REJECTED}",
        )
    return InputError(
        f"there is no {EVALUATION}",
        code="report-input",
        place=str(folder),
        remedy="give the folder that `asrpack build` left, <name>-<version>-<build>",
    )


def registry_near(bundle: Path) -> Path | None:
    """The registry beside the artifact that a bundle, or a customer's, lies in, if there is one."""
    for folder in bundle.resolve().parents:
        beside = folder.parent / REGISTRY
        if (folder / LOCK).is_file() and beside.is_file():
            return beside
    return None
