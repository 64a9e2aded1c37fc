"""What may stand at a place of a recipe, read off the schema: keys, kinds, descriptions."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from asrpack.recipe.schema import Recipe, Secret
from asrpack.recipe.section import Section

Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Slot:
    """A place of the schema.

    Attributes:
        type: a Section class, a union of them that one key tells apart, ``dict[…]``, ``tuple[…]``
            or a scalar type.
        description: of the field that holds it.
        inside_secret: the place is a secret's or below: its text is never shown.
    """

    type: Any
    description: str
    inside_secret: bool = False

    @property
    def is_section(self) -> bool:
        return bool(self._sections)

    @property
    def _sections(self) -> tuple[type[Section], ...]:
        """The section, or each that may stand here."""
        kinds = get_args(self.type) if get_origin(self.type) is types.UnionType else (self.type,)
        return tuple(k for k in kinds if isinstance(k, type) and issubclass(k, Section))

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
        """A section's keys as they are written in a recipe; of a union, those of all."""
        found: dict[str, Slot] = {}
        for section in self._sections:
            for name, field in section.model_fields.items():
                key = field.alias or name
                slot = self._inner(field.annotation, field.description or "")
                if key in found and slot.choices:
                    both = Literal[(*found[key].choices, *slot.choices)]  # type: ignore[valid-type]
                    slot = Slot(both, slot.description, slot.inside_secret)
                found.setdefault(key, slot)
                if slot.choices:
                    found[key] = slot
        return found

    def variant(self, tag: str | int) -> Slot | None:
        """One section of a union, by the value of the key that tells them apart."""
        if len(self._sections) > 1:
            for section in self._sections:
                slot = Slot(section, self.description, self.inside_secret)
                if any(item.choices == (tag,) for item in slot.keys.values()):
                    return slot
        return None

    def child(self, key: str | int) -> Slot | None:
        """The place below ``key``, or None where the schema has none."""
        if self.is_section:
            return self.variant(key) or self.keys.get(str(key))
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


def written(loc: Loc) -> Loc:
    """A validation error's path as the recipe has it: without the names of a union's members."""
    slot: Slot | None = ROOT
    found: list[str | int] = []
    for key in loc:
        if slot is None or slot.variant(key) is None:
            found.append(key)
        slot = slot.child(key) if slot else None
    return tuple(found)


def _bare(annotation: Any) -> Any:
    """The type without ``Annotated`` and ``| None``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin in (types.UnionType, typing.Union):
        inner = [item for item in get_args(annotation) if item is not type(None)]
        return _bare(inner[0]) if len(inner) == 1 else annotation
    return annotation


ROOT = Slot(Recipe, "the recipe")
