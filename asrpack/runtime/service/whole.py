"""A WebSocket's audio that is recognised once it has ended, as an uploaded recording is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from starlette.types import Scope

from asrpack.runtime.audio import audio_too_long
from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.rf64 import rf64_header
from asrpack.runtime.service.context import Service
from asrpack.runtime.service.live import LiveStream, Progress, live_stream
from asrpack.runtime.service.transcribing import transcription
from asrpack.runtime.service.upload import spooled, told_of_space, too_large
from asrpack.runtime.timed_text import TimedText


class WholeRecording:
    """Answers as :class:`LiveStream` does, with all of the text in the end.

    Args:
        rate: of 16-bit samples, in Hz; None where a file comes, in pieces.

    Attributes:
        ended: no utterance ends before the recording does.
    """

    ended = 0

    def __init__(
        self,
        service: Service,
        scope: Scope,
        file: BinaryIO,
        rate: int | None,
        hotwords: ContextGraph | None,
        nbest: int,
    ) -> None:
        self._service, self._scope, self._file = service, scope, file
        self._rate, self._hotwords, self._nbest = rate, hotwords, nbest
        self._bytes = 0
        if rate is not None:
            file.write(rf64_header(rate, 0))

    async def advance(self, data: bytes) -> Progress:
        """Takes the next samples, or bytes of a file.

        Raises:
            InputError: more audio than is allowed.
            RequestError: more bytes than are allowed.
            ToolchainError: there is no room for it on this host.
        """
        self._bytes += len(data)
        settings = self._service.settings
        if self._rate is not None:
            seconds = self._bytes / 2 / self._rate
            if seconds > settings.max_duration:
                raise audio_too_long(seconds, settings.max_duration, taker="this service")
        if self._bytes > settings.max_body:
            raise too_large(settings.max_body)
        with told_of_space():
            self._file.write(data)
        return Progress()

    async def finish(self) -> TimedText:
        """Recognises it.

        Raises:
            AsrpackError: as :func:`transcription`.
        """
        with told_of_space():
            self._file.seek(0)
            if self._rate is not None:
                self._file.write(rf64_header(self._rate, self._bytes // 2))
                self._file.flush()
        async with transcription(
            self._service,
            self._scope,
            self._file,
            hotwords=self._hotwords,
            nbest=self._nbest,
        ) as found:
            return await found.whole()


@asynccontextmanager
async def listening(
    service: Service,
    scope: Scope,
    rate: int | None = None,
    hotwords: ContextGraph | None = None,
    nbest: int = 1,
) -> AsyncIterator[LiveStream | WholeRecording]:
    """A live stream where the model streams, else a whole recording.

    Args:
        rate: of the samples, in Hz; None for the model's.
        hotwords, nbest: as for :func:`live_stream`.
    """
    about = service.engine.recognizer.description
    opening = live_stream if about.streaming is not None else whole_recording
    async with opening(service, scope, rate or about.sample_rate, hotwords, nbest) as found:
        yield found


@asynccontextmanager
async def whole_recording(
    service: Service,
    scope: Scope,
    rate: int | None,
    hotwords: ContextGraph | None = None,
    nbest: int = 1,
) -> AsyncIterator[WholeRecording]:
    """A job from before its first byte to its text: what was spoken is not refused afterwards.

    Raises:
        BusyError, KeyFileError: as :meth:`asrpack.runtime.service.engine.Engine.job`.
        UsageError: the method takes no hotwords.
    """
    service.engine.recognizer.search(service.method, hotwords)
    with service.engine.job(spoken=True), spooled() as file:
        yield WholeRecording(service, scope, file, rate, hotwords, nbest)
