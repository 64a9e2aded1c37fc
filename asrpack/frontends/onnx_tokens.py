"""The units of an ONNX model: a text file beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from asrpack.errors import InputError
from asrpack.frontends.problems import did_you_mean

FILES = ("tokens.txt", "units.txt", "words.txt", "vocab.txt")
BLANKS = ("<blank>", "<blk>", "<b>", "<eps>", "<pad>")
SPM_SPACE = "▁"
_WITH_ID = re.compile(r"(.+?)[ \t]+(\d+)\Z")


def find_tokens(model: Path, given: Path | None) -> Path:
    """The file that the recipe names, or the one beside the model.

    Raises:
        InputError: it is not there.
    """
    folder = model if model.is_dir() else model.parent
    for path in [given] if given else [folder / name for name in FILES]:
        if path.is_file():
            return path
    raise InputError(
        "the file of units does not exist" if given else "there is no file of the model's units",
        code="tokens-missing",
        place=str(given or folder),
        remedy="set model.tokens to a text file with one unit a line, in the order of the "
        "graph's outputs",
    )


def read_tokens(path: Path, size: int | None = None) -> tuple[str, ...]:
    """Units by id, from lines of ``unit`` or ``unit id``.

    Args:
        size: outputs of the network, where that is known.

    Raises:
        InputError: not UTF-8, empty, ids that are not 0, 1, 2, …, or of another size.
    """
    try:
        # Not splitlines: a unit may well be a character that Unicode counts as a line end.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _fault(path, f"the units cannot be read: {cause}", "give a UTF-8 text file") from None
    lines = [line.removesuffix("\r") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise _fault(path, "there are no units", "write one unit a line")
    split = [_WITH_ID.match(line) for line in lines]
    tokens = tuple(lines)
    if all(split):
        by_id = {int(item[2]): item[1] for item in split if item}
        if sorted(by_id) != list(range(len(lines))):
            odd = next(index for index in range(len(lines)) if index not in by_id)
            raise _fault(
                path,
                f"no line has the id {odd}",
                "number the units 0, 1, 2, … as the graph's outputs are",
            )
        tokens = tuple(by_id[index] for index in range(len(lines)))
    if size is not None and len(tokens) != size:
        raise _fault(
            path,
            f"there are {len(tokens)} units, and the graph has {size} outputs",
            "give the units that the model was trained with, special ones included",
        )
    return tokens


def find_blank(tokens: Sequence[str], given: str | None, path: Path) -> int:
    """Id of the blank.

    Raises:
        InputError: no such unit, or none whose name tells.
    """
    if given is not None:
        if given in tokens:
            return tokens.index(given)
        raise _fault(
            path,
            f"there is no unit {given!r}" + did_you_mean(given, tokens),
            "set model.blank to the blank's unit",
        )
    for name in BLANKS:
        if name in tokens:
            return tokens.index(name)
    raise _fault(
        path,
        f"no unit is named as a blank ({', '.join(BLANKS)})",
        "set model.blank to the blank's unit",
    )


def find_silent(tokens: Sequence[str], names: Sequence[str], path: Path) -> tuple[str, ...]:
    """Units with those that are not written made empty.

    Raises:
        InputError: no such unit.
    """
    for name in names:
        if name not in tokens:
            raise _fault(
                path,
                f"there is no unit {name!r}" + did_you_mean(name, tokens),
                "name in model.silent only units that the model has",
            )
    return tuple("" if token in names else token for token in tokens)


def unit_type(tokens: Sequence[str], given: str | None) -> str:
    """How units make a text: as given, or as SentencePiece's mark tells."""
    if given is not None:
        return given
    return "spm" if any(token.startswith(SPM_SPACE) for token in tokens) else "char"


def _fault(path: Path, message: str, remedy: str) -> InputError:
    return InputError(message, code="tokens", place=str(path), remedy=remedy)
