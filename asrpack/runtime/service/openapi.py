"""The OpenAPI 3.1 document of the HTTP interface.

OpenAPI has no WebSockets: theirs are ``GET`` requests that are answered with 101, as the handshake
is, and what is said after it is told in words.
"""

from __future__ import annotations

from typing import Any

from asrpack.bundle.metadata import BundleMetadata
from asrpack.runtime.service.openai_request import ALIAS, FORMATS, GRANULARITIES
from asrpack.runtime.service.subtitles_api import SUBTITLES

Json = dict[str, Any]
_PROBLEMS = {
    "400": "A field or the recording cannot be used.",
    "401": "No API key, or not one of this service.",
    "408": "The body arrives too slowly.",
    "413": "Too many bytes, or too many seconds of audio.",
    "415": "Not a form, or not audio that can be decoded.",
    "429": "Busy; Retry-After says when to come back.",
    "503": "Shutting down, or the licence is over.",
}
_SAMPLES = "16-bit samples, little-endian, mono"
_SOCKETS = {
    "/paddlespeech/asr/streaming": "PaddleSpeech's streaming server: "
    f'{{"signal": "start"}}, {_SAMPLES}, {{"signal": "end"}}; every packet is answered with '
    "`result`, the text so far.",
    "/vosk": f'Vosk\'s server: perhaps {{"config": {{"sample_rate": 16000}}}}, {_SAMPLES}, '
    '{"eof" : 1}; answers have `partial`, or `result` and `text`.',
    "/wenet": f'WeNet\'s server: {{"signal": "start"}}, {_SAMPLES}, {{"signal": "end"}}; answers '
    "have `type`, up to speech_end, and `nbest`.",
    "/funasr": 'FunASR\'s server: {"is_speaking": true, "mode": "2pass"}, '
    f'{_SAMPLES}, {{"is_speaking": false}}; answers have `mode`, `text` and `is_final`.',
    "/": "Vosk's, WeNet's or FunASR's protocol: the first message tells.",
}


def openapi_document(about: BundleMetadata, *, keys: bool) -> Json:
    """For the service of one bundle; ``keys``: whether it needs an API key."""
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": about.name, "version": about.version},
        "paths": {
            "/v1/audio/transcriptions": {"post": _transcribe(about.name)},
            "/v1/models": {"get": _get("The model that there is.")},
            "/v1/models/{model}": {
                "get": {
                    **_get("One model."),
                    "parameters": [
                        {
                            "name": "model",
                            "in": "path",
                            "required": True,
                            "schema": {"type": "string"},
                        }
                    ],
                }
            },
            "/paddlespeech/asr": {"post": _paddlespeech()},
            "/paddlespeech/asr/help": {"get": _get("What PaddleSpeech's route takes.")},
            "/subtitles": {"post": _subtitles()},
            **{path: {"get": _socket(text)} for path, text in _SOCKETS.items()},
            "/": {"get": _page_or_socket()},
            "/health": {"get": _open("That the process lives; its model, and how it is served.")},
            "/ready": {"get": _open("Whether it takes requests; 503 if not.")},
            "/metrics": {"get": _open("For Prometheus.")},
        },
        "components": {"schemas": {"Error": _error()}},
    }
    if keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
    return document


def _transcribe(model: str) -> Json:
    fields: Json = {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "WAV, FLAC, OGG, MP3 and what else libsndfile reads; any rate.",
        },
        "model": {"type": "string", "enum": [model, ALIAS]},
        "response_format": {"type": "string", "enum": list(FORMATS), "default": "json"},
        "timestamp_granularities[]": {
            "type": "array",
            "items": {"type": "string", "enum": list(GRANULARITIES)},
            "description": "Of verbose_json.",
        },
        "stream": {"type": "boolean", "default": False, "description": "Server-sent events."},
        "chunking_strategy": {
            "type": "string",
            "default": "auto",
            "description": 'Where to cut: auto, or {"type": "server_vad"} with threshold, '
            "prefix_padding_ms and silence_duration_ms.",
        },
        "language": {"type": "string", "description": "Repeated in verbose_json."},
        "prompt": {"type": "string", "description": "Changes nothing."},
        "temperature": {"type": "number", "description": "Changes nothing."},
    }
    body = {"type": "object", "required": ["file"], "properties": fields}
    kinds = {
        "application/json": {"schema": {"type": "object", "required": ["text"]}},
        **{
            kind: {"schema": {"type": "string"}}
            for kind in ("text/plain", "text/vtt", "application/x-subrip", "text/event-stream")
        },
    }
    return {
        "summary": "Transcribe a recording.",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}},
        "responses": {"200": {"description": "What was said.", "content": kinds}, **_problems()},
    }


def _paddlespeech() -> Json:
    fields = {"audio": {"type": "string", "contentEncoding": "base64"}}
    body = {"type": "object", "required": ["audio"], "properties": fields}
    text = "What was said; a failure has `success` false, `code` and `message.description`."
    return {
        "summary": "Transcribe a recording, as PaddleSpeech's server does.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": text}},
    }


def _socket(text: str) -> Json:
    responses = {
        "101": "The WebSocket is open.",
        "401": "No API key, or not one of this service.",
        "403": "The page of another origin.",
        "404": "The request asks for no WebSocket.",
        "503": "The service is shutting down.",
    }
    return {
        "summary": "Open a WebSocket.",
        "description": text,
        "x-websocket": True,
        "responses": {status: {"description": told} for status, told in responses.items()},
    }


def _page_or_socket() -> Json:
    """Without a request for a WebSocket, the page: nobody needs a key for it."""
    found = _socket(_SOCKETS["/"])
    del found["responses"]["404"]
    found["summary"] = "See a page for people, or open a WebSocket."
    found["responses"]["200"] = {"description": "The page; it needs no key."}
    return found


def _subtitles() -> Json:
    body = {"type": "object", "required": ["text", "duration", "segments"]}
    kinds = {kind: {"schema": {"type": "string"}} for _, kind in SUBTITLES.values()}
    return {
        "summary": "Write a text with times, as `asrpack run --format json` has it, as subtitles.",
        "parameters": [
            {
                "name": "format",
                "in": "query",
                "required": True,
                "schema": {"type": "string", "enum": list(SUBTITLES)},
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": {"description": "Subtitles.", "content": kinds}, **_problems()},
    }


def _problems() -> Json:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": text, "content": content} for status, text in _PROBLEMS.items()}


def _get(text: str) -> Json:
    return {"summary": text, "responses": {"200": {"description": text}}}


def _open(text: str) -> Json:
    return {**_get(text), "security": []}


def _error() -> Json:
    nullable = {"type": ["string", "null"]}
    fields = {"message": {"type": "string"}, "type": {"type": "string"}}
    inner = {"type": "object", "properties": {**fields, "param": nullable, "code": nullable}}
    return {"type": "object", "properties": {"error": inner}}
