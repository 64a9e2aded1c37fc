"""Vosk's server.

After websocket/asr_server.py of alphacep/vosk-server: each message but ``config`` is answered with
one.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from starlette.websockets import WebSocket

from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.service.context import Service, note_text
from asrpack.runtime.service.conversation import Conversation, json_object
from asrpack.runtime.service.errors import RequestError
from asrpack.runtime.service.live import LiveStream
from asrpack.runtime.service.stream_options import checked_count, checked_rate, preferred
from asrpack.runtime.service.whole import WholeRecording, listening
from asrpack.runtime.timed_text import TimedSegment, TimedText, n_best

_REMEDY = 'send {"config": {"sample_rate": 16000}}, then samples, then {"eof" : 1}'


class VoskConversation(Conversation):
    """One WebSocket: perhaps a configuration, samples, the end."""

    ENDING = '{"eof" : 1}'

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._rate = service.engine.recognizer.description.sample_rate
        self._words, self._alternatives = True, 0
        self._hotwords: ContextGraph | None = None
        self._stream: LiveStream | WholeRecording | None = None
        self._opened = AsyncExitStack()
        self._said: list[str] = []

    async def audio(self, pcm: bytes) -> bool:
        stream = await self._open()
        found = await stream.advance(pcm)
        answer = self._result(found.ended) if found.ended else {"partial": found.partial}
        await self.socket.send_json(answer)
        return True

    async def text(self, message: str) -> bool:
        given = json_object(message)
        if isinstance(given.get("config"), dict):
            await self._configure(given["config"])
            return True
        if not (given.get("eof") or given.get("reset")):
            raise RequestError(
                "neither a configuration nor the end of a stream", code="message", remedy=_REMEDY
            )
        stream = await self._open()
        spoken = await self.incoming.while_connected(stream.finish())
        answer = self._result(spoken.segments[stream.ended :])
        await self._opened.aclose()
        self._stream = None
        note_text(self.service, self.socket.scope, " ".join(self._said))
        await self.socket.send_json(answer)
        return not given.get("eof")

    async def _configure(self, config: dict[str, Any]) -> None:
        if self._stream is not None:
            raise RequestError(
                "the configuration comes after samples",
                code="config",
                remedy='send it first, or after {"reset" : 1}',
            )
        if "model" in config:
            raise RequestError(
                "this service has one model", code="config", remedy="leave `model` out"
            )
        self._rate = checked_rate(config.get("sample_rate"), self._rate)
        self._words = bool(config.get("words", self._words))
        about = self.service.engine.recognizer.description
        self._alternatives = checked_count(
            "max_alternatives", config.get("max_alternatives", self._alternatives), 0, about
        )
        # A grammar of Kaldi's ends with what stands for all else.
        phrases = config.get("phrase_list") or []
        if isinstance(phrases, list) and "[unk]" in phrases:
            phrases = [phrase for phrase in phrases if phrase != "[unk]"]
        self._hotwords = await asyncio.to_thread(preferred, phrases, about)

    async def _open(self) -> LiveStream | WholeRecording:
        if self._stream is None:
            self._opened = await self.stack.enter_async_context(AsyncExitStack())
            self._stream = await self._opened.enter_async_context(
                listening(
                    self.service,
                    self.socket.scope,
                    self._rate,
                    self._hotwords,
                    nbest=max(1, self._alternatives),
                )
            )
        return self._stream

    def _result(self, segments: tuple[TimedSegment, ...]) -> dict[str, Any]:
        about = self.service.engine.recognizer.description
        found = n_best(segments, about, max(1, self._alternatives))
        best = found[0][0]
        self._said.append(best.text)
        if not self._alternatives:
            return self._told(best, confidences=True)
        # As Vosk has it: the log-likelihood of each, and no confidences of words.
        return {
            "alternatives": [
                {"confidence": round(score, 6), **self._told(spoken, confidences=False)}
                for spoken, score in found
            ]
        }

    def _told(self, spoken: TimedText, *, confidences: bool) -> dict[str, Any]:
        words = [
            {
                **({"conf": round(word.confidence, 6)} if confidences else {}),
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "word": word.text,
            }
            for word in spoken.words
        ]
        return {**({"result": words} if self._words and words else {}), "text": spoken.text}
