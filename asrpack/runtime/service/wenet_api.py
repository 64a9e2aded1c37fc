"""WeNet's server, after runtime/core/websocket/websocket_server.cc of wenet-e2e/wenet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.websockets import WebSocket

from asrpack.errors import AsrpackError
from asrpack.runtime.service.context import Service, note_text
from asrpack.runtime.service.conversation import Conversation, json_object, told
from asrpack.runtime.service.errors import RequestError
from asrpack.runtime.service.live import LiveStream
from asrpack.runtime.service.whole import WholeRecording, listening
from asrpack.runtime.timed_text import TimedSegment, join_segments


class WenetConversation(Conversation):
    """One WebSocket: start, samples, end. The samples have the model's rate."""

    ENDING = '{"signal": "end"}'

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._stream: LiveStream | WholeRecording | None = None
        self._continuous = False
        self._said: list[str] = []

    async def text(self, message: str) -> bool:
        given = json_object(message)
        signal = given.get("signal")
        if signal == "start" and self._stream is None:
            self._continuous = _checked(given)
            opening = listening(self.service, self.socket.scope)
            self._stream = await self.stack.enter_async_context(opening)
            await self._send(type="server_ready")
            return True
        if signal != "end":
            raise RequestError(
                "neither the one start of a stream nor its end",
                code="signal",
                remedy='send {"signal": "start"}, then samples, then {"signal": "end"}',
            )
        stream = self._opened()
        spoken = await stream.finish()
        rest = spoken.segments[stream.ended :]
        if rest or not self._said:
            await self._final(rest)
        return await self._end()

    async def audio(self, pcm: bytes) -> bool:
        found = await self._opened().advance(pcm)
        for segment in found.ended:
            await self._final([segment])
            if not self._continuous:
                return await self._end()
        if found.partial:
            await self._send(type="partial_result", nbest=_nbest(found.partial))
        return True

    def failure(self, error: AsrpackError) -> dict[str, Any]:
        return {"status": "failed", "message": told(error)}

    def _opened(self) -> LiveStream | WholeRecording:
        if self._stream is None:
            raise RequestError(
                "the stream has not started",
                code="signal",
                remedy='send {"signal": "start"} first',
            )
        return self._stream

    async def _final(self, segments: Sequence[TimedSegment]) -> None:
        """Of one utterance; of all pieces of a whole recording."""
        about = self.service.engine.recognizer.description
        spoken = join_segments(segments, 0.0, about)
        self._said.append(spoken.text)
        pieces = [
            {
                "word": word.text,
                "start": round(1000 * word.start),
                "end": round(1000 * word.end),
            }
            for word in spoken.words
        ]
        await self._send(type="final_result", nbest=_nbest(spoken.text, word_pieces=pieces))

    async def _end(self) -> bool:
        note_text(self.service, self.socket.scope, " ".join(self._said))
        await self._send(type="speech_end")
        return False

    async def _send(self, **fields: str) -> None:
        await self.socket.send_json({"status": "ok", **fields})


def _nbest(sentence: str, **more: Any) -> str:
    """A string of JSON in JSON, as WeNet has it."""
    return json.dumps([{"sentence": sentence, **more}], ensure_ascii=False)


def _checked(given: dict[str, Any]) -> bool:
    """Whether the stream goes on after an endpoint."""
    nbest, continuous = given.get("nbest", 1), given.get("continuous_decoding", False)
    if not isinstance(nbest, int) or isinstance(nbest, bool) or not isinstance(continuous, bool):
        raise RequestError(
            "an option of the start is of another type",
            code="signal",
            remedy="send `nbest` as an integer and `continuous_decoding` as true or false",
        )
    return continuous
