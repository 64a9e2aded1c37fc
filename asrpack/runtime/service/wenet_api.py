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
from asrpack.runtime.service.stream_options import checked_count
from asrpack.runtime.service.whole import WholeRecording, listening
from asrpack.runtime.timed_text import TimedSegment, Word, n_best


class WenetConversation(Conversation):
    """One WebSocket: start, samples, end. The samples have the model's rate."""

    ENDING = '{"signal": "end"}'

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._stream: LiveStream | WholeRecording | None = None
        self._nbest, self._continuous = 1, False
        self._said: list[str] = []

    async def text(self, message: str) -> bool:
        given = json_object(message)
        signal = given.get("signal")
        if signal == "start" and self._stream is None:
            about = self.service.engine.recognizer.description
            self._nbest = checked_count("nbest", given.get("nbest", 1), 1, about)
            self._continuous = _continuous(given)
            opening = listening(self.service, self.socket.scope, nbest=self._nbest)
            self._stream = await self.stack.enter_async_context(opening)
            await self._send("server_ready")
            return True
        if signal != "end":
            raise RequestError(
                "neither the one start of a stream nor its end",
                code="signal",
                remedy='send {"signal": "start"}, then samples, then {"signal": "end"}',
            )
        stream = self._opened()
        spoken = await self.incoming.while_connected(stream.finish())
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
            await self._send("partial_result", [{"sentence": found.partial}])
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
        found = [spoken for spoken, _ in n_best(segments, about, self._nbest)]
        self._said.append(found[0].text)
        sentences = [
            {"sentence": spoken.text, "word_pieces": list(map(_piece, spoken.words))}
            for spoken in found
        ]
        await self._send("final_result", sentences)

    async def _end(self) -> bool:
        note_text(self.service, self.socket.scope, " ".join(self._said))
        await self._send("speech_end")
        return False

    async def _send(self, kind: str, nbest: list[dict[str, Any]] | None = None) -> None:
        answer = {"status": "ok", "type": kind}
        if nbest is not None:
            # A string of JSON in JSON, as WeNet has it.
            answer["nbest"] = json.dumps(nbest, ensure_ascii=False)
        await self.socket.send_json(answer)


def _piece(word: Word) -> dict[str, Any]:
    return {
        "word": word.text,
        "start": round(1000 * word.start),
        "end": round(1000 * word.end),
    }


def _continuous(given: dict[str, Any]) -> bool:
    """Whether the stream goes on after an endpoint."""
    continuous = given.get("continuous_decoding", False)
    if not isinstance(continuous, bool):
        raise RequestError(
            "`continuous_decoding` is of another type",
            code="signal",
            remedy="send it as true or false",
        )
    return continuous
