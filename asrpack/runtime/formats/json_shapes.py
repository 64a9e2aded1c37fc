"""JSON objects: asrpack's own, and what OpenAI's transcription API answers."""

from __future__ import annotations

import zlib
from typing import Any

from asrpack.runtime.timed_text import TimedSegment, TimedText, Word


def to_json(spoken: TimedText) -> dict[str, Any]:
    """``text``, ``duration`` and ``segments`` with their ``words``, times in seconds."""
    return {
        "text": spoken.text,
        "duration": round(spoken.duration, 3),
        "segments": [_segment(segment) for segment in spoken.segments],
    }


def _segment(segment: TimedSegment) -> dict[str, Any]:
    words = [{**_word(word), "confidence": round(word.confidence, 4)} for word in segment.words]
    return {
        "text": segment.text,
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        **({"words": words} if words else {}),
    }


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
