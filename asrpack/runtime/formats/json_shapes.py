"""JSON objects: asrpack's own, and what OpenAI's transcription API answers."""

from __future__ import annotations

import zlib
from typing import Any
from unicodedata import combining

from asrpack.runtime.timed_text import TimedSegment, TimedText, Word

_LATEST = 1_000_000  # seconds


def to_json(spoken: TimedText) -> dict[str, Any]:
    """``text``, ``duration`` and ``segments`` with their ``words``, times in seconds."""
    return {
        "text": spoken.text,
        "duration": round(spoken.duration, 3),
        "segments": [segment_json(segment) for segment in spoken.segments],
    }


def segment_json(segment: TimedSegment) -> dict[str, Any]:
    """One of :func:`to_json`'s segments; without ``words`` where their times are not known."""
    words = [{**_word(word), "confidence": round(word.confidence, 4)} for word in segment.words]
    return {
        "text": segment.text,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        **({"words": words} if words else {}),
    }


def from_json(shape: Any) -> TimedText:
    """What :func:`to_json` makes, of whoever it comes from.

    Raises:
        ValueError: of another shape, with times that are none, or words that are not in its text.
    """
    segments = tuple(map(_segment_of, _list(shape, "segments")))
    return TimedText(_text(shape, "text"), _number(shape, "duration"), segments)


def _segment_of(raw: Any) -> TimedSegment:
    text, words, at = _text(raw, "text"), [], 0
    for item in _list(raw, "words") if "words" in raw else ():
        words.append(_word_of(item))
        at = text.find(words[-1].text, at)
        if at < 0:
            raise ValueError(f"{words[-1].text[:40]!r} is not in its segment's text, or too early")
        at += len(words[-1].text)
    return TimedSegment(text, _number(raw, "start"), _number(raw, "end"), tuple(words))


def _word_of(raw: Any) -> Word:
    text = _text(raw, "word")
    # Of those that take no room, a subtitle would hold any number.
    if not text.strip() or all(map(combining, text)):
        raise ValueError(f"the word {text[:40]!r} has nothing to show")
    confidence = _number(raw, "confidence", most=1)
    return Word(text, _number(raw, "start"), _number(raw, "end"), confidence)


def _list(raw: Any, name: str) -> list[Any]:
    found = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{name} is no list")
    return found


def _text(raw: Any, name: str) -> str:
    found = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(found, str):
        raise ValueError(f"{name} is no text")
    found.encode()  # nor is half of a surrogate pair
    return found


def _number(raw: dict[str, Any], name: str, most: int = _LATEST) -> float:
    found = raw.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found <= most:
        raise ValueError(f"{name} is no number from 0 to {most}")
    return float(found)


def to_verbose_json(
    spoken: TimedText, language: str, *, segments: bool = True, words: bool = False
) -> dict[str, Any]:
    """``verbose_json`` of ``POST /v1/audio/transcriptions`` (openai.types.audio).

    ``avg_logprob`` is the score over the units and the end, as Whisper has it; the scores of
    other decoding methods don't compare. ``no_speech_prob`` is 0: no such thing is computed.

    Args:
        language: as the caller knows it; this model does not detect it.
        segments, words: the granularities asked for.
    """
    shape: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(spoken.duration, 3),
        "text": spoken.text,
        "usage": {"type": "duration", "seconds": round(spoken.duration, 3)},
    }
    if segments:
        shape["segments"] = [
            _verbose_segment(number, segment) for number, segment in enumerate(spoken.segments)
        ]
    if words:
        shape["words"] = [
            _word(word) for segment in spoken.segments for word in segment.timed_words()
        ]
    return shape


def _verbose_segment(number: int, segment: TimedSegment) -> dict[str, Any]:
    data = segment.text.encode()
    return {
        "id": number,
        "seek": round(segment.start * 100),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": 0.0,
        "avg_logprob": round(segment.score / (len(segment.tokens) + 1), 4),
        "compression_ratio": round(len(data) / len(zlib.compress(data)), 4),
        "no_speech_prob": 0.0,
    }


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
