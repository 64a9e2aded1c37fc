"""From a fault that validation found to what the user reads: cause, place, what is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asrpack.recipe.diagnostics import RecipeError, Span, choices, nearest
from asrpack.recipe.document import Node
from asrpack.recipe.slots import ROOT, Loc, Slot, slot_at, written

_WANTED = {
    "string_type": "text",
    "path_type": "a path",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
}
_UNION = {"union_tag_invalid": "literal_error", "union_tag_not_found": "missing"}
_WORDS = (
    ("Input should be", "must be"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
)


def locate(tree: Node, loc: Loc) -> Span:
    """Where the value at ``loc`` stands, or the nearest thing above it that is there."""
    node, span = tree, tree.span
    for key in loc:
        if isinstance(node.value, dict) and str(key) in node.value:
            entry = node.value[str(key)]
            # A nested mapping starts at its first key; its own key names it better.
            marks_key = isinstance(entry.node.value, (dict, list)) or entry.node.value is None
            node, span = entry.node, entry.key_span if marks_key else entry.node.span
        elif isinstance(node.value, list) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            span = node.span
        else:
            break
    return span


def scalar_faults(tree: Node) -> dict[Loc, RecipeError]:
    """Faults that the types alone do not show: keys without a value, stray placeholders."""
    faults: dict[Loc, RecipeError] = {}
    for loc, node, slot in _scalars(tree, ROOT, ()):
        if node.value is None:
            faults[loc] = RecipeError(
                f"`{_dotted(loc)}` has no value",
                code="recipe-no-value",
                span=locate(tree, loc),
                remedy=f"give it one, or take the key out: {slot.description}",
            )
        elif isinstance(node.value, str) and "${" in node.value and not slot.is_path:
            faults[loc] = RecipeError(
                f"`{_dotted(loc)}` has a placeholder, which is read in paths only",
                code="recipe-placeholder",
                span=locate(tree, loc),
                remedy="write the value out; `${NAME}` is for `path`, `manifest` and `file`, and "
                "`--set` changes other values from outside",
                show_line=not slot.inside_secret,
            )
    return faults


def worth_saying(items: list[Any]) -> list[Any]:
    """Pydantic's errors without those that only follow from another one.

    A key that is "missing" because it is misspelt; a list that is "too short" because its items
    are faulty.
    """
    misspelt: set[Loc] = set()
    holders: set[Loc] = set()
    for item in items:
        *above, key = item["loc"] or ("",)
        holders.add(tuple(above))
        if item["type"] == "extra_forbidden" and (parent := slot_at(tuple(above))):
            misspelt.add((*above, nearest(str(key), parent.keys) or ""))
        if len(item["loc"]) > 2:
            holders.add(tuple(above[:-1]))  # the list of the item of the key
    return [
        item
        for item in items
        if not (item["type"] == "missing" and item["loc"] in misspelt)
        and not (item["type"] == "too_short" and item["loc"] in holders)
    ]


def explain(tree: Node, error: Mapping[str, Any]) -> RecipeError:
    """One of pydantic's errors, an item of ``ValidationError.errors()``, in words."""
    context: dict[str, Any] = error.get("ctx") or {}
    loc: Loc = tuple(error["loc"])
    if "at" in context:
        loc += tuple(context["at"].split("."))
    kind: str = error["type"]
    if loc and loc[-1] == "[key]":
        return _bad_name(tree, written(loc[:-1]))
    if kind == "extra_forbidden":
        return _unknown_key(tree, written(loc), slot_at(loc[:-1]) or ROOT)
    if kind in _UNION:
        # The key that tells a union's sections apart.
        loc, kind = (*loc, context["discriminator"].strip("'")), _UNION[kind]
    slot = slot_at(loc) or ROOT
    loc = written(loc)
    if kind == "missing":
        return RecipeError(
            f"the required key `{_dotted(loc)}` is missing",
            code="recipe-missing-key",
            span=locate(tree, loc[:-1]),
            remedy=f"add `{loc[-1]}`: {slot.description}",
            show_line=not slot.inside_secret,
        )
    message, remedy = _say(kind, error, context, slot, _node_at(tree, loc), _dotted(loc))
    return RecipeError(
        message,
        code="recipe-value",
        span=locate(tree, loc),
        remedy=remedy,
        show_line=not slot.inside_secret,
    )


def _say(
    kind: str, error: Mapping[str, Any], context: dict[str, Any], slot: Slot, node: Node, name: str
) -> tuple[str, str]:
    if kind == "literal_error":
        if len(slot.choices) == 1:
            only = slot.choices[0]
            key = name.rpartition(".")[2]
            return (
                f"`{name}` is not supported: this version of asrpack supports {only} only",
                f"write `{key}: {only}`",
            )
        return f"`{name}` must be one of {', '.join(slot.choices)}", choices(
            node.text, slot.choices
        )
    if kind in _WANTED:
        message = f"`{name}` must be {_WANTED[kind]}, and this is {_kind_of(node)}"
        if slot.inside_secret and slot.is_section:
            return message, (
                "never write a key into a recipe: say where it is, `{file: …}`, `{env: …}` or "
                "`{command: …}`"
            )
        if kind == "string_type" and node.text:
            return message, f'quote it: {name.rpartition(".")[2]}: "{node.text}"'
        return message, choices("", slot.keys) if slot.is_section else slot.description
    if kind == "string_pattern_mismatch":
        return f"`{name}` has characters that are not allowed there", slot.description
    if kind in ("too_short", "string_too_short"):
        return f"`{name}` is empty", slot.description
    if kind == "too_long" or kind == "string_too_long":
        return f"`{name}` is too long: at most {context['max_length']}", slot.description
    cause = error["msg"]
    for pydantic_words, words in _WORDS:
        cause = cause.replace(pydantic_words, words)
    return f"`{name}` {cause}", context.get("remedy", slot.description)


def _unknown_key(tree: Node, loc: Loc, parent: Slot) -> RecipeError:
    key = str(loc[-1])
    allowed = list(parent.keys)
    parent_node = _node_at(tree, loc[:-1])
    span = locate(tree, loc)
    if isinstance(parent_node.value, dict):
        span = parent_node.value[key].key_span
    # Inside a secret a key's name may be the secret, unless it is close to one that is allowed.
    shown = f" `{key}`" if not parent.inside_secret or nearest(key, allowed) else ""
    where = f" in `{_dotted(loc[:-1])}`" if loc[:-1] else ""
    return RecipeError(
        f"unknown key{shown}{where}",
        code="recipe-unknown-key",
        span=span,
        remedy=choices(key, allowed),
        show_line=not parent.inside_secret,
    )


def _bad_name(tree: Node, loc: Loc) -> RecipeError:
    parent = slot_at(loc[:-1]) or ROOT
    parent_node = _node_at(tree, loc[:-1])
    span = locate(tree, loc)
    if isinstance(parent_node.value, dict) and loc[-1] in parent_node.value:
        span = parent_node.value[str(loc[-1])].key_span
    return RecipeError(
        f"`{loc[-1]}` cannot be a name in `{_dotted(loc[:-1])}`",
        code="recipe-name",
        span=span,
        remedy=parent.description,
    )


def _scalars(node: Node, slot: Slot, loc: Loc) -> Iterator[tuple[Loc, Node, Slot]]:
    """Every scalar that stands where the schema has a place."""
    if isinstance(node.value, dict):
        for key, entry in node.value.items():
            if child := slot.child(key):
                yield from _scalars(entry.node, child, (*loc, key))
    elif isinstance(node.value, list):
        for index, item in enumerate(node.value):
            if child := slot.child(index):
                yield from _scalars(item, child, (*loc, index))
    else:
        yield loc, node, slot


def _node_at(tree: Node, loc: Loc) -> Node:
    node = tree
    for key in loc:
        if isinstance(node.value, dict) and str(key) in node.value:
            node = node.value[str(key)].node
        elif isinstance(node.value, list) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
    return node


def _dotted(loc: Loc) -> str:
    return ".".join(str(key) for key in loc)


def _kind_of(node: Node) -> str:
    match node.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case None:
            return "empty"
    return "text"
