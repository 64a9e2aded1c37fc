"""Reads a recipe file: all its faults at once, each with its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from asrpack.errors import ErrorGroup, InputError
from asrpack.recipe.diagnostics import RecipeError, Source, Span
from asrpack.recipe.document import Node, parse
from asrpack.recipe.explain import explain, locate, scalar_faults, worth_saying
from asrpack.recipe.overrides import apply_override
from asrpack.recipe.schema import Recipe
from asrpack.recipe.slots import Loc, written

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe that has passed the schema; the files it names are not looked at yet.

    Attributes:
        recipe: paths in it are absolute.
        path: the recipe file, absolute.
        folder: what relative paths in it are relative to, absolute.
        data: the file's bytes.
        digest: their SHA-256, hex.
        overrides: the ``--set`` texts that were applied.
    """

    recipe: Recipe
    path: Path
    folder: Path
    data: bytes = field(repr=False)
    digest: str
    overrides: tuple[str, ...] = ()
    tree: Node = field(repr=False, compare=False, kw_only=True)

    def place(self, loc: Loc) -> str:
        """Where the value at ``loc`` stands: ``file:line:column``."""
        return locate(self.tree, loc).place

    def fault(self, loc: Loc, message: str, *, code: str, remedy: str | None = None) -> RecipeError:
        """An error about the value at ``loc``, e.g. ``("data", "test", "manifest")``."""
        return RecipeError(message, code=code, span=locate(self.tree, loc), remedy=remedy)


def load_recipe(
    path: Path, overrides: Sequence[str] = (), *, folder: Path | None = None
) -> LoadedRecipe:
    """Reads and validates a recipe.

    Args:
        path: the YAML file.
        overrides: ``path=value`` texts, applied in order.
        folder: what relative paths in it are relative to; without it, the folder it is in.

    Raises:
        InputError: the file cannot be read, or is not YAML.
        ErrorGroup: everything that is wrong with it, in the order of the file.
    """
    path = Path(path).absolute()
    data = _read(path)
    source = Source(_shown(path), _decode(data, path))
    tree, faults = parse(source)
    errors: list[RecipeError] = list(faults)
    if tree is None or tree.value is None:
        raise RecipeError(
            "the recipe is empty",
            code="recipe-empty",
            span=Span(source, 0, 0),
            remedy="write one with `asrpack init MODEL`",
        )
    if not isinstance(tree.value, dict):
        raise RecipeError(
            "a recipe is a mapping (`key: value` lines) at the top, and this is not",
            code="recipe-type",
            span=tree.span,
            remedy="start with `schema: 1`; `asrpack init MODEL` writes a whole recipe",
        )
    for text in overrides:
        try:
            tree = apply_override(tree, text)
        except RecipeError as error:
            errors.append(error)
    folder = path.parent if folder is None else folder.absolute()
    recipe, found = _validate(tree, folder)
    errors += found
    if errors or recipe is None:
        raise ErrorGroup(sorted(errors, key=_order))  # type: ignore[arg-type]
    digest = hashlib.sha256(data).hexdigest()
    return LoadedRecipe(recipe, path, folder, data, digest, tuple(overrides), tree=tree)


def _validate(tree: Node, base: Path) -> tuple[Recipe | None, list[RecipeError]]:
    faults = scalar_faults(tree)
    try:
        # JSON mode: strict about types, but lists make tuples.
        recipe = Recipe.model_validate_json(json.dumps(tree.plain()), context={"base": base})
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)
        for item in worth_saying(items):
            # One error for one place: the one that says more about it.
            faults.setdefault(written(tuple(item["loc"])), explain(tree, item))
        return None, list(faults.values())
    return recipe, list(faults.values())


def _order(error: RecipeError) -> tuple[bool, int, int]:
    span = error.span
    return span.source.is_override, span.line, span.column


def _shown(path: Path) -> str:
    """Relative to the current folder where that is shorter: what a terminal can click on."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot read the recipe: {cause}",
            code="recipe-unreadable",
            place=_shown(path),
            remedy="check the path, or write a recipe with `asrpack init MODEL`",
        ) from None
    if len(data) > MAX_BYTES:
        raise InputError(
            "the file is over 1 MiB, which no recipe is",
            code="recipe-too-large",
            place=_shown(path),
            remedy="check the path: is it the recipe?",
        )
    return data


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig").split("\n")
        source = Source(_shown(path), data.decode("utf-8-sig", "replace"))
        raise RecipeError(
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            code="recipe-encoding",
            span=Span(source, len(before) - 1, len(before[-1])),
            remedy="save the file as UTF-8",
        ) from None
