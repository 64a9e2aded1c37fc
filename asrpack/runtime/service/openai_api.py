"""OpenAI's ``/v1/audio/transcriptions`` and ``/v1/models``."""

from __future__ import annotations

import json
import logging
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from asrpack.errors import AsrpackError
from asrpack.runtime.formats import segment_json, to_text, to_verbose_json
from asrpack.runtime.service.context import Service, note_text, notes, while_connected
from asrpack.runtime.service.errors import error_body
from asrpack.runtime.service.logs import log
from asrpack.runtime.service.openai_request import Fields, check_model, read_transcription
from asrpack.runtime.service.subtitles_api import SUBTITLES, subtitles_response
from asrpack.runtime.service.transcribing import Transcription, transcription
from asrpack.runtime.service.upload import read_form
from asrpack.runtime.text import join_texts
from asrpack.runtime.timed_text import TimedSegment, TimedText


def openai_routes(service: Service) -> list[Route]:
    """All of them."""
    about = service.about
    model = {
        "id": about.name,
        "object": "model",
        "created": about.sequence,
        "owned_by": "asrpack",
        "version": about.version,
    }

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    async def one_model(request: Request) -> Response:
        check_model(request.path_params["model"], about.name)
        return JSONResponse(model)

    return [
        Route("/v1/audio/transcriptions", _Transcriptions(service), methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{model}", one_model),
    ]


class _Transcriptions:
    """One ASGI application, so that the upload and the job last as long as the answer."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        service.engine.check_room()
        most, uploads = service.settings.max_body, service.uploads
        async with read_form(Request(scope, receive), most, uploads) as form:
            asked = read_transcription(form, service.about.name)
            with service.engine.job():
                await self._answer(scope, receive, send, asked)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, asked: Fields) -> None:
        service = self._service
        async with transcription(service, scope, asked.file, asked.cutting) as found:
            if asked.stream:
                # The first one tells whether it is audio at all: until then it can be refused.
                first = await while_connected(receive, _next(found))
                try:
                    answer = self._stream(scope, send, asked, found, first)
                    await while_connected(receive, answer)
                except ClientDisconnect:
                    notes(scope)["code"] = "client-gone"  # no other answer: this one has begun
            else:
                spoken = await while_connected(receive, found.whole())
                note_text(service, scope, spoken.text)
                response = await _response(service, asked, spoken)
                await response(scope, receive, send)

    async def _stream(
        self,
        scope: Scope,
        send: Send,
        asked: Fields,
        found: Transcription,
        part: TimedSegment | None,
    ) -> None:
        """Server-sent events: a delta a segment, then the whole text.

        ``verbose_json`` has each segment with its times, too, as OpenAI streams those of speakers.
        """
        about = self._service.engine.recognizer.description
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        texts: list[str] = []
        try:
            while part is not None:
                if part.text:
                    new = ["", part.text] if texts else [part.text]
                    delta = join_texts(new, about.tokens, about.unit_type)
                    await _event(send, {"type": "transcript.text.delta", "delta": delta})
                    if asked.response_format == "verbose_json":
                        await _event(send, _segment(asked, len(texts), part))
                    texts.append(part.text)
                part = await _next(found)
        except ConnectionError:  # nobody reads it any more
            raise
        except Exception as error:
            if not isinstance(error, AsrpackError):
                log("failed", logging.ERROR, error, id=notes(scope)["id"])
            notes(scope)["code"] = getattr(error, "code", "internal")
            await _event(send, error_body(error, notes(scope)["id"]))
        else:
            text = join_texts(texts, about.tokens, about.unit_type)
            note_text(self._service, scope, text)
            done: dict[str, Any] = {"type": "transcript.text.done", "text": text}
            if asked.response_format == "verbose_json":
                done["duration"] = round(found.seconds, 3)
            await _event(send, done)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next(found: Transcription) -> TimedSegment | None:
    return await anext(found.segments, None)


def _segment(asked: Fields, number: int, segment: TimedSegment) -> dict[str, Any]:
    shape = segment_json(segment)
    if "word" not in asked.granularities:
        shape.pop("words", None)
    return {"type": "transcript.text.segment", "id": str(number), **shape}


async def _response(service: Service, asked: Fields, spoken: TimedText) -> Response:
    if asked.response_format in SUBTITLES:
        return await subtitles_response(service, asked.response_format, lambda: spoken)
    if asked.response_format == "text":
        return PlainTextResponse(to_text(spoken))
    if asked.response_format == "verbose_json":
        return JSONResponse(
            to_verbose_json(
                spoken,
                asked.language,
                segments="segment" in asked.granularities,
                words="word" in asked.granularities,
            )
        )
    usage = {"type": "duration", "seconds": round(spoken.duration, 3)}
    return JSONResponse({"text": spoken.text, "usage": usage})


async def _event(send: Send, value: dict[str, Any]) -> None:
    data = f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()
    await send({"type": "http.response.body", "body": data, "more_body": True})
