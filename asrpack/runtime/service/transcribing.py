"""The engine for asyncio: a recording in, its segments out as they are recognised."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from functools import partial

from asrpack.runtime.pieces import LONGEST_SECONDS, Piece, Recording
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.service.engine import Engine, Recognised
from asrpack.runtime.timed_text import TimedSegment, timed_segment


def longest_piece(recognizer: Recognizer) -> float:
    """Seconds of audio that are recognised as one."""
    return min(LONGEST_SECONDS, recognizer.max_seconds or LONGEST_SECONDS)


async def segments(
    engine: Engine, recording: Recording, method: str
) -> AsyncGenerator[TimedSegment, None]:
    """Segments in order of time, those without text among them.

    Reads ahead by a piece for each worker and one more, no further: memory does not grow with the
    recording. Closing the iterator takes back what is not recognised yet.

    Raises:
        AsrpackError: as reading and recognising raise.
    """
    about = engine.recognizer.description
    pieces = iter(recording)
    waiting: deque[tuple[Piece, Future[Recognised]]] = deque()
    reading: Future[Piece | None] | None = None
    more = True
    try:
        while more or waiting:
            while more and len(waiting) <= engine.workers:
                reading = engine.read(partial(next, pieces, None))
                piece = await asyncio.wrap_future(reading)
                if piece is None:
                    more = False
                else:
                    waiting.append((piece, engine.submit(piece.samples, method)))
            if waiting:
                piece, future = waiting[0]
                found = await asyncio.wrap_future(future)
                waiting.popleft()
                end = piece.start + len(piece.samples) / about.sample_rate
                yield timed_segment(
                    found.hypothesis, found.units, about, start=piece.start, end=end
                )
    finally:
        for _, future in waiting:
            future.cancel()
        # The file is closed next: not while a worker still reads it.
        if reading is not None and not reading.done() and not reading.cancel():
            await asyncio.wait([asyncio.wrap_future(reading)])
