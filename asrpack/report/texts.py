"""The utterances whose text a build changed, with the words that differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

# A word, or one character of a script that is written without spaces; spaces between them.
_TOKEN = re.compile(
    r"\s+|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


@dataclass(frozen=True)
class Piece:
    """A run of text; ``differs`` from the other text."""

    text: str
    differs: bool


@dataclass(frozen=True)
class ChangedText:
    """One utterance.

    Attributes:
        effect: ``mended`` (right now), ``broken`` (was right) or ``changed`` (wrong both times).
    """

    utt: str
    reference: str
    old: tuple[Piece, ...]
    new: tuple[Piece, ...]
    effect: str


def changed_texts(utterances: Sequence[Mapping[str, Any]], method: str) -> list[ChangedText]:
    """Where candidate and baseline differ by one method; the broken ones first."""
    found = []
    for item in utterances:
        old, new = item["baseline"][method], item["candidate"][method]
        if old != new:
            effect = {item["reference"]: "changed", old: "broken", new: "mended"}
            found.append(
                ChangedText(
                    item["utt"],
                    item["reference"],
                    *mark_differences(old, new),
                    effect[item["reference"]],
                )
            )
    return sorted(found, key=lambda item: item.effect != "broken")


def mark_differences(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts in pieces: the words that one has and the other does not are marked."""
    left, right = _TOKEN.findall(old), _TOKEN.findall(new)
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return (
        tuple(_pieces(left, [(block.a, block.size) for block in blocks])),
        tuple(_pieces(right, [(block.b, block.size) for block in blocks])),
    )


def _pieces(tokens: Sequence[str], same: Sequence[tuple[int, int]]) -> Iterator[Piece]:
    at = 0
    for start, size in same:
        for token in tokens[at:start]:
            yield Piece(token, not token.isspace())
        if size:
            yield Piece("".join(tokens[start : start + size]), False)
        at = start + size
