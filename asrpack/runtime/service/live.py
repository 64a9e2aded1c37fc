"""A stream of a WebSocket: audio in while it is spoken, text out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import numpy as np
from starlette.types import Scope

from asrpack.errors import InputError
from asrpack.runtime.audio import audio_too_long
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.streaming import Stream, StreamingRecognizer
from asrpack.runtime.text import join_texts
from asrpack.runtime.timed_text import TimedText, join_segments, timed_segment

T = TypeVar("T")


class LiveStream:
    """One stream; one call at a time. The engine's workers do the work, before all else."""

    def __init__(self, service: Service, stream: Stream) -> None:
        self._service, self._stream = service, stream
        self._about = service.engine.recognizer.description
        self._samples = 0

    @property
    def seconds(self) -> float:
        """Of audio that arrived."""
        return self._samples / self._about.sample_rate

    async def accept(self, pcm: bytes) -> str:
        """Takes 16-bit samples, little-endian, mono, at the model's rate.

        Returns:
            The text so far, of all utterances; its end may change.

        Raises:
            InputError: half a sample, or more audio than is allowed.
        """
        if len(pcm) % 2:
            raise InputError(
                f"{len(pcm)} bytes are not whole 16-bit samples",
                code="audio-samples",
                remedy=f"send 16-bit PCM, mono, {self._about.sample_rate} Hz",
            )
        samples = np.frombuffer(pcm, "<i2").astype(np.float32)
        self._samples += len(samples)
        allowed = self._service.settings.max_duration
        if self.seconds > allowed:
            raise audio_too_long(self.seconds, allowed, taker="this service")
        last = await self._run(partial(self._stream.accept, samples))
        texts = [segment.hypothesis.text for segment in self._stream.segments]
        return self._join([*texts, last.text])

    async def finish(self) -> TimedText:
        """Ends it: all that was said, the last utterance rescored too where the method does."""
        await self._run(self._stream.finish)
        parts = [
            timed_segment(item.hypothesis, item.units, self._about, start=item.start, end=item.end)
            for item in self._stream.segments
        ]
        return join_segments(parts, self.seconds, self._about)

    def _join(self, texts: list[str]) -> str:
        about = self._about
        return join_texts([text for text in texts if text], about.tokens, about.unit_type)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._service.engine.stream(function))


@asynccontextmanager
async def live_stream(service: Service, scope: Scope) -> AsyncIterator[LiveStream]:
    """A stream from its beginning to its end; noted and measured.

    Raises:
        BusyError: as :meth:`asrpack.runtime.service.engine.Engine.job`.
        UsageError: the model takes whole recordings only.
        KeyFileError: the licence does not allow it.
    """
    began = time.monotonic()
    with service.engine.job(place=False):
        streams = StreamingRecognizer(service.engine.recognizer)
        stream = streams.stream(service.method, Endpointing(), times=True)
        live = LiveStream(service, stream)
        try:
            yield live
        finally:
            stream.close()
            notes(scope)["audio_seconds"] = round(live.seconds, 3)
    service.metrics.transcribed(live.seconds, time.monotonic() - began)
