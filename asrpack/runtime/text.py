"""Units to text (``TextFeaturizer.defeaturize`` of PaddleSpeech)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile

SPACE = "<space>"
# Of sentencepiece: the space within pieces, what it prints for an unknown piece, pieces that print
# nothing, and single bytes of characters that are no piece.
META_SPACE = "\u2581"
UNKNOWN, UNKNOWN_SURFACE = "<unk>", " \u2047 "
CONTROL = frozenset({"<s>", "</s>", "<pad>"})
BYTE = re.compile("<0x([0-9A-F]{2})>")


def join_texts(texts: Sequence[str], tokens: Sequence[str], unit_type: str = "char") -> str:
    """One text of several, with blanks between where the units have them."""
    spaced = unit_type != "char" or SPACE in tokens
    return (" " if spaced else "").join(texts)


def detokenize(
    units: Sequence[int], tokens: Sequence[str], eos_id: int, unit_type: str = "char"
) -> str:
    """The text of units up to the first ``eos``.

    PaddleSpeech prints tokens such as ``<unk>`` and ``<blank>`` as they are, and so does this.

    Args:
        units: ids.
        tokens: the vocabulary by id.
        eos_id: where the text ends.
        unit_type: ``char``: joined, ``<space>`` a blank; ``word``: joined by blanks,
            an empty one silent; ``spm``: as
            sentencepiece decodes its pieces.
    """
    pieces = [tokens[unit] for unit in takewhile(lambda unit: unit != eos_id, units)]
    if unit_type == "word":
        return " ".join(filter(None, pieces))
    if unit_type == "spm":
        return _join_pieces(pieces)
    return "".join(pieces).replace(SPACE, " ")


def units_of(text: str, tokens: Sequence[str], unit_type: str = "char") -> list[int | None]:
    """Ids that spell a text; None for each stretch that no unit spells.

    Sentencepiece's own choice among the ways to spell a word needs its model; here it is always
    the longest piece that fits.

    Args:
        text: words with single blanks between.
    """
    ids = {token: unit for unit, token in enumerate(tokens)}
    if unit_type == "word":
        return [ids.get(word) for word in text.split()]
    if unit_type == "char":
        # A vocabulary without <space> writes no blanks.
        characters = text if SPACE in ids else text.replace(" ", "")
        return [ids.get(SPACE if character == " " else character) for character in characters]
    return _longest_pieces(META_SPACE + text.replace(" ", META_SPACE), ids)


def _longest_pieces(text: str, ids: Mapping[str, int]) -> list[int | None]:
    longest = max(map(len, ids))
    units: list[int | None] = []
    at = 0
    while at < len(text):
        ends = range(min(len(text), at + longest), at, -1)
        end = next((end for end in ends if text[at:end] in ids), at + 1)
        units.append(ids.get(text[at:end]))
        at = end
    return units


def _join_pieces(pieces: Sequence[str]) -> str:
    """``DecodePieces`` of a sentencepiece model that was trained with the defaults.

    That is: text is trimmed, so blanks in front of the first character are dropped, one of each
    piece. All of ``tokens`` that are not of the model (``<blank>``) must be free of U+2581.
    """
    text, pending = "", bytearray()
    for piece in pieces:
        if byte := BYTE.fullmatch(piece):
            pending.append(int(byte[1], 16))
            continue
        text += _decode(pending)
        pending.clear()
        if piece == UNKNOWN:
            text += UNKNOWN_SURFACE
        elif piece not in CONTROL:
            text += (piece if text else piece.removeprefix(META_SPACE)).replace(META_SPACE, " ")
    return text + _decode(pending)


def _decode(data: bytearray) -> str:
    """UTF-8, with U+FFFD for each byte that is of no character (Python's own joins some)."""
    text, start = "", 0
    while start < len(data):
        for end in range(start + 1, min(start + 4, len(data)) + 1):
            try:
                text += data[start:end].decode("utf-8")
            except UnicodeDecodeError:
                continue
            start = end
            break
        else:
            text += "\ufffd"
            start += 1
    return text
