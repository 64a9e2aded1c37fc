"""``--set path=value``: replaces or adds one value in a recipe's tree."""

from __future__ import annotations

from dataclasses import replace

from asrpack.recipe.diagnostics import RecipeError, Source, Span, choices
from asrpack.recipe.document import Entry, Node, parse
from asrpack.recipe.slots import ROOT, Loc, Slot, slot_at


def apply_override(root: Node, text: str) -> Node:
    """The tree with one override applied; ``root`` is left as it is.

    Args:
        text: ``path=value``; keys and list indexes joined by dots, the value as YAML.

    Raises:
        RecipeError: not ``path=value``, a path that this recipe cannot have, a value that is not
            YAML.
    """
    path, equals, value = text.partition("=")
    loc: Loc = tuple(path.split("."))
    # A key typed into --set by mistake must not come back in a message.
    hidden = any((slot := slot_at(loc[:i])) and slot.inside_secret for i in range(1, len(loc) + 1))
    name = f"--set {path}=…" if hidden else f"--set {text}"
    source = Source(name, value, is_override=True)
    span = Span(source, 0, 0)
    if not equals or not all(loc):
        raise RecipeError(
            "an override is PATH=VALUE",
            code="override-form",
            span=span,
            remedy="write e.g. --set builds.cpu.precision=fp16",
        )
    node, faults = parse(source)
    if faults:
        raise faults[0]
    return _put(root, ROOT, loc, node or Node(span, None), span)


def _put(node: Node, slot: Slot, loc: Loc, value: Node, span: Span) -> Node:
    if not loc:
        return value
    key, rest = str(loc[0]), loc[1:]
    if isinstance(node.value, list):
        return _put_item(node, node.value, slot, loc, value, span)
    entries = node.value if isinstance(node.value, dict) else {}
    allowed = list(entries) if slot.is_open else list(slot.keys)
    child = slot.child(key)
    if child is None or key not in allowed:
        raise RecipeError(
            f"unknown key `{key}`",
            code="recipe-unknown-key",
            span=span,
            remedy=choices(key, allowed) if allowed else "the key before it takes a plain value",
        )
    old = entries[key] if key in entries else Entry(span, Node(span, {}))
    new = Entry(old.key_span, _put(old.node, child, rest, value, span))
    return replace(node, value={**entries, key: new})


def _put_item(node: Node, items: list[Node], slot: Slot, loc: Loc, value: Node, span: Span) -> Node:
    index, child = str(loc[0]), slot.child(0)
    if child is None or not index.isdecimal() or int(index) >= len(items):
        raise RecipeError(
            f"`{index}` is not an item of the list",
            code="recipe-unknown-key",
            span=span,
            remedy=f"items count from 0 to {len(items) - 1}; or set the whole list",
        )
    position = int(index)
    changed = _put(items[position], child, loc[1:], value, span)
    return replace(node, value=[*items[:position], changed, *items[position + 1 :]])
