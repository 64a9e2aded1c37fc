"""What clients of the WebSocket protocols ask of a stream."""

from __future__ import annotations

from typing import Any

from asrpack.bundle.model import ModelDescription
from asrpack.runtime.audio import MAX_RATE, MIN_RATE
from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.hotwords import prefer
from asrpack.runtime.service.errors import RequestError

_MOST_PHRASES = 1000
# Of all phrases together; their graph is held for as long as the socket is open.
_MOST_CHARACTERS = 20_000


def checked_rate(given: Any, default: int) -> int:
    """A sample rate in Hz; the default where none is given.

    Raises:
        RequestError: not a rate of speech.
    """
    if given is None:
        return default
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given // 1:
        rate = 0
    else:
        rate = int(given)
    if not MIN_RATE <= rate <= MAX_RATE:
        raise RequestError(
            "that is not a sample rate of speech",
            code="audio-rate",
            remedy=f"send a number of Hz from {MIN_RATE} to {MAX_RATE}",
        )
    return rate


def checked_count(name: str, given: Any, least: int, about: ModelDescription) -> int:
    """How many hypotheses to tell: no more than the search keeps.

    Raises:
        RequestError: no integer, or less than ``least``.
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise RequestError(
            f"`{name}` is no count of hypotheses",
            code="nbest",
            remedy=f"send an integer from {least}",
        )
    return min(given, about.decode.beam_size)


def preferred(phrases: Any, about: ModelDescription) -> ContextGraph | None:
    """Of a list of phrases; None where there is none in it.

    Raises:
        RequestError: no list of texts, too many, or too much in them.
        InputError: a phrase that is too long, or that the model has no units for.
    """
    if not isinstance(phrases, list) or not all(isinstance(item, str) for item in phrases):
        raise RequestError(
            "the phrases are not a list of texts", code="hotwords", remedy="send a list of texts"
        )
    phrases = [phrase for phrase in phrases if phrase.strip()]
    characters = sum(map(len, phrases))
    if len(phrases) > _MOST_PHRASES or characters > _MOST_CHARACTERS:
        raise RequestError(
            f"{len(phrases)} phrases of {characters} characters in all are too many",
            code="hotwords",
            remedy=f"send at most {_MOST_PHRASES}, of {_MOST_CHARACTERS} characters in all",
        )
    return prefer(phrases, about) if phrases else None
