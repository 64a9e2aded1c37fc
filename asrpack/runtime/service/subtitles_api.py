"""``/subtitles``: a text that has its times already, as SRT or VTT."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asrpack.runtime.formats import from_json, to_srt, to_vtt
from asrpack.runtime.service.context import Service
from asrpack.runtime.service.errors import RequestError
from asrpack.runtime.service.transcribing import read_file
from asrpack.runtime.service.upload import read_body
from asrpack.runtime.timed_text import TimedText

SUBTITLES = {"srt": (to_srt, "application/x-subrip"), "vtt": (to_vtt, "text/vtt")}
# A hundred hours of speech.
_MOST = 16_000_000


def subtitle_routes(service: Service) -> list[Route]:
    """The one."""

    async def subtitles(request: Request) -> Response:
        asked = request.query_params.get("format", "")
        if asked not in SUBTITLES:
            raise RequestError(
                f"format: {asked[:100]!r} is none",
                code="field",
                remedy=f"ask for ?format={' or '.join(SUBTITLES)}",
                parameter="format",
            )
        service.engine.check_room()
        async with read_body(request, _MOST, service.uploads) as file:
            with service.engine.job(place=False):
                return await subtitles_response(service, asked, lambda: _transcript(file))

    return [Route("/subtitles", subtitles, methods=["POST"])]


async def subtitles_response(
    service: Service, asked: str, spoken: Callable[[], TimedText]
) -> Response:
    """Of one of :data:`SUBTITLES`, within a job: for hours of speech it takes a worker seconds."""
    write, kind = SUBTITLES[asked]
    text = await read_file(service.engine, lambda: write(spoken()))
    return PlainTextResponse(text, media_type=kind)


def _transcript(file: BinaryIO) -> TimedText:
    try:
        return from_json(json.load(file))
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"the body is no text with times: {str(error)[:200]}",
            code="body",
            remedy='send what `asrpack run --format json` writes: {"text", "duration", "segments": '
            '[{"text", "start", "end", "words": [{"word", "start", "end", "confidence"}]}]}',
        ) from None
