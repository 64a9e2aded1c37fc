"""FunASR's server, after runtime/docs/websocket_protocol.md of modelscope/FunASR."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import takewhile
from typing import Any

from starlette.websockets import WebSocket

from asrpack.errors import AsrpackError
from asrpack.runtime.service.context import Service, note_text
from asrpack.runtime.service.conversation import Conversation, json_object, told
from asrpack.runtime.service.errors import RequestError
from asrpack.runtime.service.live import LiveStream, Progress, live_stream
from asrpack.runtime.service.stream_options import checked_rate, preferred
from asrpack.runtime.service.whole import WholeRecording, listening, whole_recording
from asrpack.runtime.text import join_texts
from asrpack.runtime.timed_text import TimedSegment, join_segments

_MODES = ("2pass", "online", "offline")
_START = 'send {"mode": "2pass", "is_speaking": true, "audio_fs": 16000} first'


class FunasrConversation(Conversation):
    """One WebSocket: one recording after another, each with a start, samples, and an end."""

    ENDING = '{"is_speaking": false}'

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._stream: LiveStream | WholeRecording | None = None
        self._opened = AsyncExitStack()
        self._mode, self._name = "2pass", ""
        self._text = ""  # of the utterances that ended
        self._shown = self._seen = ""  # of the one under way: sent, and the last partial

    async def text(self, message: str) -> bool:
        given = json_object(message)
        speaking = given.get("is_speaking")
        if not isinstance(speaking, bool):
            raise RequestError(
                "neither the start of a recording nor its end",
                code="message",
                remedy=f'{_START}, then samples, then {{"is_speaking": false}}',
            )
        if speaking:
            await self._start(given)
        else:
            await self._finish(acknowledge=given.get("is_end") is True)
        return True

    async def audio(self, pcm: bytes) -> bool:
        found = await self._under_way().advance(pcm)
        for segment in found.ended:
            await self._utterance([segment])
        if self._mode != "offline":
            await self._online(found)
        return True

    def failure(self, error: AsrpackError) -> dict[str, Any]:
        """As funasr_wss_client.py reads it, which waits for ``is_end``."""
        return {"is_end": True, "is_final": False, "error": told(error), "wav_name": self._name}

    def _under_way(self) -> LiveStream | WholeRecording:
        if self._stream is None:
            raise RequestError("no recording has started", code="message", remedy=_START)
        return self._stream

    async def _start(self, given: dict[str, Any]) -> None:
        if self._stream is not None:
            raise RequestError(
                "a recording has started already",
                code="message",
                remedy='send {"is_speaking": false} before the next',
            )
        engine, scope = self.service.engine, self.socket.scope
        about = engine.recognizer.description
        mode, form = given.get("mode", "2pass"), given.get("wav_format", "pcm")
        if mode not in _MODES:
            raise RequestError(
                "no such mode", code="mode", remedy=f"send one of {', '.join(_MODES)}"
            )
        if form != "pcm" and mode != "offline":
            raise RequestError(
                "files are recognised when they have ended",
                code="mode",
                remedy='send samples, `wav_format` "pcm", or ask for `mode` "offline"',
            )
        rate = checked_rate(given.get("audio_fs"), about.sample_rate)
        phrases = _phrases(given.get("hotwords"))
        hotwords = await asyncio.to_thread(preferred, phrases, about)
        self._opened = await self.stack.enter_async_context(AsyncExitStack())
        opening: Any
        if mode == "offline":
            opening = whole_recording(
                self.service, scope, rate if form == "pcm" else None, hotwords
            )
        elif mode == "online":
            opening = live_stream(self.service, scope, rate, hotwords)
        else:
            opening = listening(self.service, scope, rate, hotwords)
        self._stream = await self._opened.enter_async_context(opening)
        self._mode, self._name = mode, str(given.get("wav_name", ""))
        self._text = self._shown = self._seen = ""

    async def _finish(self, *, acknowledge: bool) -> None:
        stream = self._under_way()
        spoken = await self.incoming.while_connected(stream.finish())
        await self._opened.aclose()
        self._stream = None
        await self._utterance(spoken.segments[stream.ended :], last=True)
        note_text(self.service, self.socket.scope, spoken.text)
        if acknowledge:
            await self.socket.send_json({"is_end": True, "is_final": True, "wav_name": self._name})

    async def _online(self, found: Progress) -> None:
        """The client appends what it gets: only what two texts that differ agree on is sent."""
        if found.partial == self._seen:
            return
        agreed = _common(found.partial, self._seen)
        self._seen = found.partial
        if len(agreed) > len(self._shown) and agreed.startswith(self._shown):
            text = agreed[len(self._shown) :]
            if not self._shown:
                text = self._apart(text)
            self._shown = agreed
            mode = "online" if self._mode == "online" else "2pass-online"
            await self._send(mode, text, final=False)

    async def _utterance(self, segments: Sequence[TimedSegment], *, last: bool = False) -> None:
        """Its text: all of it, or, where the client appends, what it does not have yet."""
        about = self.service.engine.recognizer.description
        spoken = join_segments(segments, 0.0, about)
        text, shown = spoken.text, self._shown
        self._shown = self._seen = ""
        more: dict[str, Any] = {}
        if self._mode == "online":
            known = len(_common(text, shown))
            sent = text[known:] if shown else self._apart(text)
            mode = "online"
        else:
            sent = self._apart(text)
            mode = "offline" if self._mode == "offline" else "2pass-offline"
            more = _stamps(spoken.segments)
        self._text += text
        if sent or last:
            await self._send(mode, sent, final=last, **more)

    def _apart(self, text: str) -> str:
        """With the blank that divides it from the utterance before."""
        about = self.service.engine.recognizer.description
        if not (self._text and text):
            return text
        return join_texts(["", text], about.tokens, about.unit_type)

    async def _send(self, mode: str, text: str, *, final: bool, **more: Any) -> None:
        answer = {"mode": mode, "wav_name": self._name, "text": text, "is_final": final}
        await self.socket.send_json({**answer, **more})


def _common(one: str, other: str) -> str:
    """What both begin with."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(first for first, _ in pairs)


def _stamps(segments: Sequence[TimedSegment]) -> dict[str, Any]:
    """Times in milliseconds; a string of JSON in JSON, as FunASR has it."""
    times = [
        [[round(1000 * word.start), round(1000 * word.end)] for word in segment.words]
        for segment in segments
    ]
    sentences = [
        {
            "text_seg": " ".join(word.text for word in segment.words) or segment.text,
            "punc": "",
            "start": stamps[0][0] if stamps else round(1000 * segment.start),
            "end": stamps[-1][1] if stamps else round(1000 * segment.end),
            "ts_list": stamps,
        }
        for segment, stamps in zip(segments, times, strict=True)
    ]
    return {
        "timestamp": json.dumps([stamp for stamps in times for stamp in stamps]),
        "stamp_sents": sentences,
    }


def _phrases(given: Any) -> Any:
    """Of an object of phrases and weights, as JSON or as a string of it, or of phrases and commas.

    The weights are those of FunASR's models, and not used.
    """
    if isinstance(given, str):
        given = json_object(given) or given.split(",")
    return list(given) if isinstance(given, dict) else given or []
