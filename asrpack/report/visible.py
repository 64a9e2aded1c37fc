"""Text of unknown origin, made safe to look at."""

from __future__ import annotations

import unicodedata

_HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"  # part of words in many scripts


def visible(text: object) -> str:
    """Escapes what cannot be seen or turns a line around; HTML's own characters stay."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HIDDEN and character not in _JOINERS
        else character
        for character in str(text)
    )
