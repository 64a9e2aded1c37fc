"""YAML text to a tree that knows where each key and value stands.

Built from the parser's events, not from a loaded object: that keeps marks for every key and
value, bounds depth and aliases before they cost anything, and lets scalars be read by the YAML
1.2 core schema alone (``2.30`` is a number, ``no`` and ``2024-01-01`` are text).
https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from asrpack.recipe.diagnostics import RecipeError, Source, Span

MAX_DEPTH = 20
MAX_NODES = 10_000

Scalar = str | int | float | bool | None

_COLLECTION_STARTS = (SequenceStartEvent, MappingStartEvent)
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_MAX_DIGITS = 400  # beyond what a float can be; int() itself refuses 4300


@dataclass
class Node:
    """A value with its place. ``value`` is a scalar, a list of nodes or a dict of entries.

    Attributes:
        text: a scalar as it is written.
        size: nodes of the whole subtree, aliases expanded.
    """

    span: Span
    value: Scalar | list[Node] | dict[str, Entry]
    text: str = ""
    size: int = 1

    def plain(self) -> Any:
        """The value as plain dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


@dataclass
class Entry:
    """One key of a mapping, where the key stands, and its value."""

    key_span: Span
    node: Node


def parse(source: Source) -> tuple[Node | None, list[RecipeError]]:
    """Reads one YAML document.

    Returns:
        The tree, or None for a text without a document; and the faults that do not stop reading
        (duplicate keys).

    Raises:
        RecipeError: not YAML, or YAML that a recipe may not have (several documents, tags,
            aliases that grow without bound, deep nesting).
    """
    try:
        return _Composer(source).compose()
    except MarkedYAMLError as error:
        raise _marked(error, source) from None
    except YAMLError as error:
        # The reader's errors have an index and no mark.
        position = getattr(error, "position", 0)
        before = source.text[:position].split("\n")
        raise RecipeError(
            "not YAML: a control character",
            code="recipe-yaml",
            span=Span(source, len(before) - 1, len(before[-1])),
            remedy="take the character out",
        ) from None


def _marked(error: MarkedYAMLError, source: Source) -> RecipeError:
    mark = error.problem_mark or error.context_mark
    span = Span(source, mark.line, mark.column) if mark else Span(source, 0, 0)
    problem = " ".join(str(error.problem or error.context).split())
    start = error.context_mark
    if error.context and start and start.line < span.line:
        problem += f", {error.context} that starts on line {start.line + 1}"
    remedy = "mend the YAML at the marked place"
    if "'\\t'" in problem:
        remedy = "indent with spaces: YAML does not take tabs"
    elif "${" in span.text[: span.column + 1]:
        remedy = "put the text with the `${…}` in quotes: braces mean something else to YAML"
    return RecipeError(f"not YAML: {problem}", code="recipe-yaml", span=span, remedy=remedy)


class _Composer:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.faults: list[RecipeError] = []
        self.anchors: dict[str, Node] = {}
        self.count = 0
        self.events: Iterator[Event] = YAML(typ="safe", pure=True).parse(source.text)

    def compose(self) -> tuple[Node | None, list[RecipeError]]:
        root: Node | None = None
        documents = 0
        while not isinstance(event := next(self.events), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._refuse(event, "a second YAML document; a recipe is one document")
                if event.version not in (None, (1, 2)):
                    raise self._refuse(event, "a %YAML directive; a recipe is YAML 1.2")
            elif isinstance(event, (ScalarEvent, AliasEvent, *_COLLECTION_STARTS)):
                root = self._node(event, 1)
        return root, self.faults

    def _node(self, event: Event, depth: int) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        assert isinstance(event, (ScalarEvent, SequenceStartEvent, MappingStartEvent))
        self._count(event, 1)
        if event.tag is not None and event.tag != "!":
            raise self._refuse(event, f"a YAML tag ({event.tag}); a recipe has none")
        if depth > MAX_DEPTH:
            raise self._refuse(event, f"more than {MAX_DEPTH} levels of nesting")
        if isinstance(event, ScalarEvent):
            node = Node(self._span(event), self._scalar(event), self._text(event))
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: AliasEvent) -> Node:
        # An anchor counts once its node is complete, so a node cannot contain itself.
        if event.anchor not in self.anchors:
            raise self._refuse(event, f"the alias *{event.anchor} of an anchor not yet complete")
        node = self.anchors[event.anchor]
        self._count(event, node.size)
        return replace(node, span=self._span(event))

    def _count(self, event: Event, nodes: int) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            raise self._refuse(event, f"more than {MAX_NODES} values, aliases expanded")

    def _sequence(self, start: Event, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(self._span(start), items, size=1 + sum(item.size for item in items))

    def _mapping(self, start: Event, depth: int) -> Node:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                raise self._refuse(event, "a key that is not a plain word")
            key, key_span = self._text(event), self._span(event)
            node = self._node(next(self.events), depth + 1)
            if key in entries:
                first = entries[key].key_span.line + 1
                self.faults.append(
                    RecipeError(
                        f"`{key}` is given twice, first on line {first}",
                        code="recipe-duplicate-key",
                        span=key_span,
                        remedy="keep one of them",
                    )
                )
                continue
            entries[key] = Entry(key_span, node)
        size = 1 + sum(entry.node.size for entry in entries.values())
        return Node(self._span(start), entries, size=size)

    def _scalar(self, event: ScalarEvent) -> Scalar:
        text = self._text(event)
        if event.style is not None or event.tag == "!":  # quoted, or a block
            return text
        if _NULL.match(text):
            return None
        if _BOOL.match(text):
            return text.lower() == "true"
        if _INT.match(text) or _FLOAT.match(text):
            if len(text) > _MAX_DIGITS:
                raise self._refuse(event, f"a number of more than {_MAX_DIGITS} digits")
            return _number(text)
        return text

    def _text(self, event: ScalarEvent) -> str:
        # JSON writes a character beyond U+FFFF as two escapes; YAML is to read JSON.
        try:
            return str(event.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            what = "half of a surrogate pair, which is no character"
            raise self._refuse(event, what) from None

    def _span(self, event: Event) -> Span:
        start, end = event.start_mark, event.end_mark
        width = 1
        if isinstance(event, (ScalarEvent, AliasEvent)) and start.line == end.line:
            width = max(1, end.column - start.column)
        return Span(self.source, start.line, start.column, width)

    def _refuse(self, event: Event, what: str) -> RecipeError:
        return RecipeError(
            f"the recipe has {what}",
            code="recipe-yaml",
            span=self._span(event),
            remedy="write the recipe as plain YAML 1.2: keys, values and lists",
        )


def _number(text: str) -> int | float:
    if _INT.match(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)
    special = text.lower().lstrip("+-")
    if special in (".inf", ".nan"):
        return float(text.replace(".", ""))
    return float(text)
