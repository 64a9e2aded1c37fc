"""What differs between two bundles, or between what two builds left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrpack.errors import InputError
from asrpack.pipeline.side import Side, Table, opened_graphs, read_side

if TYPE_CHECKING:
    from asrpack.bundle.keys import Key
    from asrpack.graph.differences import TensorDifferences

SECTIONS = (
    *("recipe", "sources", "tools", "stages", "outputs"),
    *("packages", "metadata", "keys", "figures", "files"),
)


@dataclass(frozen=True)
class Change:
    """One value; None on the side that has none."""

    path: str
    a: Any
    b: Any

    def as_dict(self) -> dict[str, Any]:
        return {"path": self.path, "a": self.a, "b": self.b}


@dataclass(frozen=True)
class Comparison:
    """What differs.

    Attributes:
        sections: changes by section, in the order of :data:`SECTIONS`.
        tensors: None where they were not compared; ``note`` says why.
    """

    a: Side
    b: Side
    sections: dict[str, tuple[Change, ...]]
    tensors: TensorDifferences | None
    note: str = ""

    @property
    def same(self) -> bool:
        """Whether nothing that was compared differs."""
        return not any(self.sections.values()) and (self.tensors is None or self.tensors.same)

    def as_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            **{
                name: {"kind": side.kind, "path": str(side.folder), "title": side.title}
                for name, side in (("a", self.a), ("b", self.b))
            },
            "same": self.same,
            **{name: [item.as_dict() for item in found] for name, found in self.sections.items()},
            "tensors": None if self.tensors is None else self.tensors.as_dict(),
            "note": self.note,
        }


def compare(
    first: Path, second: Path, identities: Sequence[Key] = (), licence: Path | None = None
) -> Comparison:
    """Compares two bundles, or two artifacts; of an artifact and a bundle, the bundles.

    Args:
        identities: private keys of recipients, tried in turn, to compare the tensors that ship.
        licence: of an identity that the envelope does not name.

    Raises:
        AsrpackError: as :func:`asrpack.pipeline.side.read_side` and ``opened_graphs``.
    """
    a, b = read_side(first), read_side(second)
    if a.kind != b.kind:
        a, b = _its_bundle(a), _its_bundle(b)
    sections = {name: changes(getattr(a, name), getattr(b, name)) for name in SECTIONS}
    tensors, note = _tensors(a, b, identities, licence)
    return Comparison(a, b, sections, tensors, note)


def changes(a: Table, b: Table) -> tuple[Change, ...]:
    """Where two tables differ, sorted by path."""
    return tuple(
        Change(path, a.get(path), b.get(path))
        for path in sorted(a.keys() | b.keys())
        if path not in a or path not in b or a[path] != b[path]
    )


def _its_bundle(side: Side) -> Side:
    if side.bundle is None:
        raise InputError(
            "a candidate that was rejected has no bundle, and the other side is one",
            code="diff-kinds",
            place=str(side.folder),
            remedy="compare it with what another build left",
        )
    return replace(read_side(side.bundle), folder=side.folder)


def _tensors(
    a: Side, b: Side, identities: Sequence[Key], licence: Path | None
) -> tuple[TensorDifferences | None, str]:
    if not identities and "bundle" in (a.kind, b.kind):
        return None, "tensors are encrypted: give a recipient's key with --identity"
    from asrpack.graph.differences import tensor_differences
    from asrpack.graph.stored import graph_format, stored_tensors

    opened = [opened_graphs(side, identities, licence) for side in (a, b)]
    with opened[0] as one, opened[1] as other:
        kinds = graph_format(one), graph_format(other)
        if None in kinds:
            return None, "an artifact keeps no graphs: give a recipient's key with --identity"
        if kinds[0] != kinds[1]:
            return None, f"graphs of two kinds are not compared: {kinds[0]} and {kinds[1]}"
        found = tensor_differences(stored_tensors(one), stored_tensors(other))
    kept = "" if identities else "as exported; those that ship with --identity"
    return found, kept
