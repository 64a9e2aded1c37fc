"""The fields of ``POST /v1/audio/transcriptions``, checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, BinaryIO

from starlette.datastructures import FormData, UploadFile

from asrpack.runtime.pieces import Cutting
from asrpack.runtime.service.errors import RequestError

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
# Which of them can come as server-sent events.
STREAMED = ("json", "text", "verbose_json")
GRANULARITIES = ("segment", "word")
# What clients have built in; it stands for the bundle's model.
ALIAS = "whisper-1"


@dataclass(frozen=True)
class Fields:
    """What is asked for.

    Attributes:
        language: as the client calls it; it changes nothing but what ``verbose_json`` repeats.
        cutting: None: only where a recording is too long for one piece.
    """

    file: BinaryIO
    language: str
    response_format: str
    granularities: tuple[str, ...]
    stream: bool
    cutting: Cutting | None


def read_transcription(form: FormData, model: str) -> Fields:
    """Reads the form. ``prompt`` and ``temperature`` are taken and change nothing.

    Args:
        model: the name of the one that there is.

    Raises:
        RequestError: a field is missing or not one of those possible.
    """
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise _field("file", "there is no file", "send the recording as the field `file`")
    check_model(_text(form, "model", ALIAS), model)
    response_format = _choice(form, "response_format", "json", FORMATS)
    stream = _choice(form, "stream", "false", ("true", "false")) == "true"
    if stream and response_format not in STREAMED:
        raise _field(
            "stream", f"{response_format} is not streamed", f"ask for {', '.join(STREAMED)}"
        )
    granularities = _granularities(form)
    if granularities and response_format != "verbose_json":
        raise _field(
            "timestamp_granularities[]",
            f"{response_format} has no times",
            "ask for response_format verbose_json",
        )
    if form.getlist("include[]") or form.getlist("include"):
        raise _field("include[]", "nothing more can be included", "leave it out")
    return Fields(
        upload.file,
        _text(form, "language", "unknown"),
        response_format,
        granularities or ("segment",),
        stream,
        _cutting(_text(form, "chunking_strategy", "auto")),
    )


def check_model(asked: str, model: str) -> None:
    """Raises RequestError where there is no such model."""
    if asked not in (model, ALIAS):
        raise RequestError(
            f"there is no model {asked!r} here",
            code="model-unknown",
            remedy=f"ask for {model!r}, as GET /v1/models says",
            parameter="model",
        )


def _granularities(form: FormData) -> tuple[str, ...]:
    name = "timestamp_granularities[]"
    asked = form.getlist(name) or form.getlist("timestamp_granularities")
    for item in asked:
        if item not in GRANULARITIES:
            raise _field(name, f"{item!r} is none", f"ask for {' or '.join(GRANULARITIES)}")
    return tuple(str(item) for item in asked)


def _cutting(text: str) -> Cutting | None:
    """``auto``, or OpenAI's ``server_vad`` with its three numbers."""
    name = "chunking_strategy"
    if text == "auto":
        return None
    try:
        given = json.loads(text)
        if not isinstance(given, dict) or given.pop("type", None) != "server_vad":
            raise ValueError
        default = Cutting()
        cutting = Cutting(
            threshold=_number(given, "threshold", default.threshold, 0.05, 0.95),
            padding=_number(given, "prefix_padding_ms", 1000 * default.padding, 0, 5000) / 1000,
            silence=_number(given, "silence_duration_ms", 1000 * default.silence, 50, 10000) / 1000,
        )
        if given:
            raise ValueError
    except (ValueError, RecursionError):
        raise _field(
            name,
            f"{text[:100]!r} is none",
            'give "auto", or {"type": "server_vad"} with threshold (0.05 to 0.95), '
            "prefix_padding_ms (0 to 5000) and silence_duration_ms (50 to 10000)",
        ) from None
    return cutting


def _number(given: dict[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = given.pop(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ValueError
    return value


def _choice(form: FormData, name: str, default: str, choices: tuple[str, ...]) -> str:
    value = _text(form, name, default)
    if value not in choices:
        raise _field(name, f"{value[:100]!r} is none", f"give one of {', '.join(choices)}")
    return value


def _text(form: FormData, name: str, default: str) -> str:
    value = form.get(name, default)
    if not isinstance(value, str):
        raise _field(name, "it is a file", "send it as text")
    return value or default


def _field(name: str, problem: str, remedy: str) -> RequestError:
    return RequestError(f"{name}: {problem}", code="field", remedy=remedy, parameter=name)
