"""The engine for asyncio: a recording in, its segments out as they are recognised."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future, wait
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import BinaryIO, TypeVar

from starlette.types import Scope

from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.pieces import Cutting, Piece, Recording, longest_piece
from asrpack.runtime.recognizer import Recognised
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.engine import Engine
from asrpack.runtime.service.work_queue import Meter
from asrpack.runtime.timed_text import TimedSegment, TimedText, join_segments, timed_segment

T = TypeVar("T")


class Transcription:
    """A recording under way.

    Attributes:
        segments: see :func:`segments`.
        meter: of its worker time.
    """

    def __init__(
        self,
        service: Service,
        source: BinaryIO,
        cutting: Cutting | None,
        hotwords: ContextGraph | None,
        nbest: int,
    ) -> None:
        recognizer = service.engine.recognizer
        self._about = recognizer.description
        self._recording = Recording(
            source,
            self._about.sample_rate,
            longest=longest_piece(recognizer.max_seconds),
            cutting=cutting,
            max_seconds=service.settings.max_duration,
        )
        self.meter = Meter()
        self.segments = segments(
            service.engine, self._recording, self.meter, service.method, hotwords, nbest
        )

    @property
    def seconds(self) -> float:
        """Of audio that were read."""
        return self._recording.seconds

    async def whole(self) -> TimedText:
        """All of it, once it is recognised."""
        parts = [part async for part in self.segments]
        return join_segments(parts, self.seconds, self._about)


@asynccontextmanager
async def transcription(
    service: Service,
    scope: Scope,
    source: BinaryIO,
    cutting: Cutting | None = None,
    hotwords: ContextGraph | None = None,
    nbest: int = 1,
) -> AsyncIterator[Transcription]:
    """A recording of a job, to the end of its answer; noted and measured."""
    found = Transcription(service, source, cutting, hotwords, nbest)
    async with aclosing(found.segments):
        yield found
    notes(scope)["audio_seconds"] = round(found.seconds, 3)
    service.metrics.transcribed(found.seconds, found.meter.seconds)


async def segments(
    engine: Engine,
    recording: Recording,
    meter: Meter,
    method: str,
    hotwords: ContextGraph | None = None,
    nbest: int = 1,
) -> AsyncGenerator[TimedSegment, None]:
    """Segments in order of time, those without text among them.

    Reads ahead by a piece for each worker and one more, no further: memory does not grow with the
    recording. A worker reads a block of it at a time, and what else waits has its turn in between.
    Closing the iterator takes back what is not recognised yet.

    Raises:
        AsrpackError: as reading and recognising raise.
    """
    about = engine.recognizer.description
    steps = recording.steps()
    waiting: deque[tuple[Piece, Future[Recognised]]] = deque()
    more = True
    try:
        while more or waiting:
            ahead = more and len(waiting) <= engine.workers
            if ahead:
                step = await read_file(engine, partial(next, steps, False), meter)
                more = step is not False
                if isinstance(step, Piece):
                    future = engine.submit(step.samples, method, hotwords, nbest, meter)
                    waiting.append((step, future))
            if waiting and (waiting[0][1].done() or not ahead):
                piece, future = waiting[0]
                found = await asyncio.wrap_future(future)
                waiting.popleft()
                end = piece.start + len(piece.samples) / about.sample_rate
                yield timed_segment(found, about, start=piece.start, end=end)
    finally:
        for _, future in waiting:
            future.cancel()


async def read_file(engine: Engine, function: Callable[[], T], meter: Meter | None = None) -> T:
    """What a worker reads from a file; cancelled, it ends when the worker no longer does.

    The file is closed next, and that must wait though the task be cancelled once more.
    """
    future = engine.read(function, meter)
    try:
        return await asyncio.wrap_future(future)
    finally:
        if not (future.done() or future.cancel()):
            late = asyncio.wrap_future(future)
            late.add_done_callback(lambda _: late.cancelled() or late.exception())  # nobody's
            try:
                await asyncio.wait([late])
            finally:
                wait([future])
