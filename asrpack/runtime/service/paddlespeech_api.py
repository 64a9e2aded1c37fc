"""PaddleSpeech's server: ``/paddlespeech/asr`` and ``/paddlespeech/asr/streaming``.

After paddlespeech/server/restful/asr_api.py and paddlespeech/server/ws/asr_api.py of 1.5.0. What
was said before an endpoint is kept, which PaddleSpeech forgets (its issue 2237).
"""

from __future__ import annotations

import base64
import json
import string
from typing import Any, BinaryIO

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Scope
from starlette.websockets import WebSocket

from asrpack.errors import AsrpackError
from asrpack.runtime.service.context import Service, note_text, notes, while_connected
from asrpack.runtime.service.conversation import Conversation, json_object, told
from asrpack.runtime.service.errors import RequestError, error_response, status_of
from asrpack.runtime.service.live import LiveStream, live_stream
from asrpack.runtime.service.transcribing import read_file, transcription
from asrpack.runtime.service.upload import read_body, told_of_space
from asrpack.runtime.timed_text import TimedText

# JSON is in memory as a whole while a worker reads it, unlike a form's file.
_MOST_JSON = 64_000_000
_HELP = {
    "description": "asr server",
    "input": "base64 string of wavfile",
    "output": "transcription",
}


def paddlespeech_routes(service: Service) -> list[BaseRoute]:
    """All of them."""

    async def asr_help(_: Request) -> Response:
        return JSONResponse(_success({"global": "success"}, _HELP))

    async def asr(request: Request) -> Response:
        service.engine.check_room()
        most = min(service.settings.max_body, _MOST_JSON)
        async with read_body(request, most, service.uploads) as file:
            with service.engine.job():
                work = recognised(request.scope, file)
                spoken = await while_connected(request.receive, work)
        note_text(service, request.scope, spoken.text)
        result = {"transcription": spoken.text}
        return JSONResponse(_success({"description": "success"}, result))

    async def recognised(scope: Scope, file: BinaryIO) -> TimedText:
        await read_file(service.engine, lambda: _unpack(file))
        async with transcription(service, scope, file) as found:
            return await found.whole()

    async def asr_or_why_not(request: Request) -> Response:
        try:
            return await asr(request)
        except AsrpackError as error:
            notes(request.scope)["code"] = error.code
            shaped = error_response(error, notes(request.scope)["id"])
            body = {
                "success": False,
                "code": shaped.status_code,
                "message": {"description": told(error)},
            }
            return JSONResponse(body, shaped.status_code, _retry(shaped))

    async def streaming(socket: WebSocket) -> None:
        await _Conversation(service, socket).run()

    return [
        Route("/paddlespeech/asr", asr_or_why_not, methods=["POST"]),
        Route("/paddlespeech/asr/help", asr_help),
        WebSocketRoute("/paddlespeech/asr/streaming", streaming),
    ]


class _Conversation(Conversation):
    """One WebSocket: start, samples, end."""

    ENDING = '{"signal": "end"}'

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._stream: LiveStream | None = None

    async def audio(self, pcm: bytes) -> bool:
        text = await self._opened().accept(pcm)
        await self.socket.send_json({"result": text})
        return True

    async def text(self, message: str) -> bool:
        signal = json_object(message).get("signal")
        if signal == "start" and self._stream is None:
            opening = live_stream(self.service, self.socket.scope)
            self._stream = await self.stack.enter_async_context(opening)
            await self.socket.send_json({"status": "ok", "signal": "server_ready"})
            return True
        if signal != "end":
            raise RequestError(
                "neither the one start of a stream nor its end",
                code="signal",
                remedy='send {"signal": "start"}, then samples, then {"signal": "end"}',
            )
        spoken = await self.incoming.while_connected(self._opened().finish())
        note_text(self.service, self.socket.scope, spoken.text)
        await self.socket.send_json(
            {
                "status": "ok",
                "signal": "finished",
                "result": spoken.text,
                "times": _times(spoken),
            }
        )
        return False

    def failure(self, error: AsrpackError) -> dict[str, Any]:
        return {"status": "error", "message": told(error), "code": status_of(error)}

    def _opened(self) -> LiveStream:
        if self._stream is None:
            raise RequestError(
                "the stream has not started",
                code="signal",
                remedy='send {"signal": "start"} first',
            )
        return self._stream


def _unpack(file: BinaryIO) -> None:
    """Puts the recording in the place of the JSON that it is in."""
    audio = _audio_of(file.read())
    file.seek(0)
    file.truncate()
    with told_of_space():
        file.write(audio)
        file.flush()


def _audio_of(body: bytes) -> bytes:
    try:
        given: str = json.loads(body)["audio"]
        encoded = given.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RequestError(
            "the body is not JSON with a recording",
            code="body",
            remedy='send {"audio": base64 of the file, "audio_format": "wav", "sample_rate": '
            '16000, "lang": "zh_cn"}',
            parameter="audio",
        ) from None
    try:
        # MIME's base64 has line ends.
        return base64.b64decode(encoded.translate(None, string.whitespace.encode()), validate=True)
    except ValueError as error:
        raise RequestError(
            f"`audio` is not base64 ({error})",
            code="body",
            remedy="send the file in base64 (RFC 4648, 4)",
            parameter="audio",
        ) from None


def _times(spoken: TimedText) -> list[dict[str, Any]]:
    return [
        {"w": word.text, "bg": round(word.start, 3), "ed": round(word.end, 3)}
        for word in spoken.words
    ]


def _success(message: dict[str, str], result: dict[str, str]) -> dict[str, Any]:
    return {"success": True, "code": 200, "message": message, "result": result}


def _retry(response: Response) -> dict[str, str]:
    name = "retry-after"
    return {name: response.headers[name]} if name in response.headers else {}
