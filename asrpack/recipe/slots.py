"""What may stand at a place of a recipe, read off the schema: keys, kinds, descriptions."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from asrpack.recipe.schema import Recipe, Secret, Section

Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Slot:
    """A place of the schema.

    Attributes:
        type: a Section class, ``dict[…]``, ``tuple[…]`` or a scalar type.
        description: of the field that holds it.
        inside_secret: the place is a secret's or below: its text is never shown.
    """

    type: Any
    description: str
    inside_secret: bool = False

    @property
    def is_section(self) -> bool:
        return isinstance(self.type, type) and issubclass(self.type, Section)

    @property
    def is_open(self) -> bool:
        """A mapping whose keys are the user's own names."""
        return get_origin(self.type) is dict

    @property
    def is_list(self) -> bool:
        return get_origin(self.type) is tuple

    @property
    def is_path(self) -> bool:
        return self.type is Path

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values, where there is a fixed set of them."""
        return (
            tuple(str(c) for c in get_args(self.type)) if get_origin(self.type) is Literal else ()
        )

    @property
    def keys(self) -> dict[str, Slot]:
        """A section's keys as they are written in a recipe."""
        if not self.is_section:
            return {}
        fields = self.type.model_fields
        return {
            field.alias or name: self._inner(field.annotation, field.description or "")
            for name, field in fields.items()
        }

    def child(self, key: str | int) -> Slot | None:
        """The place below ``key``, or None where the schema has none."""
        if self.is_section:
            return self.keys.get(str(key))
        if self.is_open:
            return self._inner(get_args(self.type)[1], self.description)
        if self.is_list:
            return self._inner(get_args(self.type)[0], self.description)
        return None

    def _inner(self, annotation: Any, description: str) -> Slot:
        bare = _bare(annotation)
        return Slot(bare, description, self.inside_secret or bare is Secret)


def slot_at(loc: Loc) -> Slot | None:
    """The place at ``loc``, a path of keys and list indexes, or None."""
    slot: Slot | None = ROOT
    for key in loc:
        slot = slot.child(key) if slot else None
    return slot


def _bare(annotation: Any) -> Any:
    """The type without ``Annotated`` and ``| None``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin in (types.UnionType, typing.Union):
        (inner,) = (item for item in get_args(annotation) if item is not type(None))
        return _bare(inner)
    return annotation


ROOT = Slot(Recipe, "the recipe")
