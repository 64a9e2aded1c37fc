"""A stream of a WebSocket: audio in while it is spoken, text out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from starlette.types import Scope

from asrpack.runtime.audio import audio_too_long, resampler
from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.search import Hypothesis
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.work_queue import Meter
from asrpack.runtime.streaming import Segment, Stream, StreamingRecognizer
from asrpack.runtime.text import join_texts
from asrpack.runtime.timed_text import TimedSegment, TimedText, join_segments, timed_segment

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """What samples brought.

    Attributes:
        ended: the utterances that ended with them.
        partial: the text so far of the one that is not finished; it may change.
    """

    ended: tuple[TimedSegment, ...] = ()
    partial: str = ""


class LiveStream:
    """One stream; one call at a time. The engine's workers do the work, before all else.

    Args:
        rate: of the samples, in Hz.

    Attributes:
        ended: how many utterances :meth:`advance` has returned.
        meter: of its worker time.
    """

    def __init__(self, service: Service, stream: Stream, rate: int) -> None:
        self._service, self._stream, self._rate = service, stream, rate
        self._about = service.engine.recognizer.description
        self._samples = 0
        self._half = b""  # of a sample that goes on in the next packet
        self.ended = 0
        self.meter = Meter()
        wanted = self._about.sample_rate
        self._resampler = None if rate == wanted else resampler(rate, wanted)

    @property
    def seconds(self) -> float:
        """Of audio that arrived."""
        return self._samples / self._rate

    async def accept(self, pcm: bytes) -> str:
        """As :meth:`advance`.

        Returns:
            The text so far, of all utterances; its end may change.
        """
        last = (await self.advance(pcm)).partial
        texts = [segment.hypothesis.text for segment in self._stream.segments]
        return self._join([*texts, last])

    async def advance(self, pcm: bytes) -> Progress:
        """Takes 16-bit samples, little-endian, mono; a packet may end within one.

        Raises:
            InputError: more audio than is allowed.
        """
        pcm = self._half + pcm
        samples = np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float32)
        self._half = pcm[2 * len(samples) :]
        self._samples += len(samples)
        allowed = self._service.settings.max_duration
        if self.seconds > allowed:
            raise audio_too_long(self.seconds, allowed, taker="this service")
        last = await self._run(partial(self._hear, samples))
        self._service.metrics.streamed(len(samples) / self._rate)
        ended = tuple(map(self._timed, self._stream.segments[self.ended :]))
        self.ended += len(ended)
        return Progress(ended, last.text)

    async def finish(self) -> TimedText:
        """Ends it: all that was said, the last utterance rescored too where the method does."""
        await self._run(self._end)
        return join_segments(
            [self._timed(item) for item in self._stream.segments], self.seconds, self._about
        )

    def _hear(self, samples: NDArray[np.float32], *, last: bool = False) -> Hypothesis:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        return self._stream.accept(samples)

    def _end(self) -> None:
        self._hear(np.zeros(0, np.float32), last=True)
        self._stream.finish()

    def _timed(self, item: Segment) -> TimedSegment:
        return timed_segment(item, self._about, start=item.start, end=item.end)

    def _join(self, texts: list[str]) -> str:
        about = self._about
        return join_texts([text for text in texts if text], about.tokens, about.unit_type)

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._service.engine.stream(function, self.meter))


@asynccontextmanager
async def live_stream(
    service: Service,
    scope: Scope,
    rate: int | None = None,
    hotwords: ContextGraph | None = None,
    nbest: int = 1,
) -> AsyncIterator[LiveStream]:
    """A stream from its beginning to its end; noted and measured.

    Args:
        rate: of its samples, in Hz; None for the model's.
        hotwords: phrases to prefer.
        nbest: the most hypotheses to tell of an utterance.

    Raises:
        BusyError: as :meth:`asrpack.runtime.service.engine.Engine.job`.
        UsageError: the model takes whole recordings only, or its method no hotwords.
        KeyFileError: the licence does not allow it.
    """
    with service.engine.job(place=False, spoken=True):
        recognizer = service.engine.recognizer
        streams = StreamingRecognizer(recognizer)
        stream = streams.stream(service.method, Endpointing(), hotwords, times=True, nbest=nbest)
        live = LiveStream(service, stream, rate or recognizer.description.sample_rate)
        try:
            yield live
        finally:
            stream.close()
            notes(scope)["audio_seconds"] = round(live.seconds, 3)
    service.metrics.transcribed(live.seconds, live.meter.seconds)
