"""Reads phrases that a recognition is to prefer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.text import units_of

# Per unit, in log-probability; as WeNet's and icefall's examples have it.
DEFAULT_BOOST = 3.0
# Of a phrase; that bounds its units, of which none spells less than a character.
MOST_CHARACTERS = 200


def read_hotwords(path: Path, about: ModelDescription) -> ContextGraph:
    """A phrase a line, and perhaps its boost behind a tab; empty lines and ``#`` lines are skipped.

    Raises:
        InputError: unreadable, not UTF-8, no phrase in it, a boost that is not a number, a phrase
            that is too long, or one that the model has no units for.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _error(f"cannot read the hotwords: {cause}", str(path)) from error
    phrases = [
        _phrase(line, about, f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    if not phrases:
        raise _error("there are no hotwords in it", str(path))
    return ContextGraph(phrases)


def prefer(phrases: Iterable[str], about: ModelDescription) -> ContextGraph:
    """Of phrases without boosts of their own.

    Raises:
        InputError: a phrase that is too long, or that the model has no units for.
    """
    return ContextGraph([_phrase(text.replace("\t", " "), about, None) for text in phrases])


def _phrase(line: str, about: ModelDescription, place: str | None) -> tuple[Sequence[int], float]:
    text, _, number = line.partition("\t")
    try:
        boost = float(number) if number.strip() else DEFAULT_BOOST
    except ValueError:
        boost = math.nan
    if not math.isfinite(boost):
        raise _error(f"the boost {number.strip()!r} is not a number", place)
    text = " ".join(text.split())
    if len(text) > MOST_CHARACTERS:
        raise _error(f"{text[:20]!r}... has over {MOST_CHARACTERS} characters", place)
    units = units_of(text, about.tokens, about.unit_type)
    if not units or None in units:
        raise _error(f"the model has no units that spell {text!r}", place)
    return [unit for unit in units if unit is not None], boost


def _error(message: str, place: str | None) -> InputError:
    return InputError(
        message,
        code="hotwords",
        place=place,
        remedy="write a phrase a line, as the model spells it, of at most "
        f"{MOST_CHARACTERS} characters, and perhaps a tab and its boost (default {DEFAULT_BOOST})",
    )
