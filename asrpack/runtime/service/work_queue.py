"""What waits for a worker: pieces of streams, files to read on, and utterances by length."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.service.batching import BatchPolicy

# Lengths of one bucket differ by no more than this factor.
_BUCKET = 1.25
# Padded audio in a batch: what a batch needs in memory grows with it.
_BATCH_SECONDS = 60.0


class Meter:
    """Seconds that workers spent on a recording or stream."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def add(self, seconds: float) -> None:
        """From any thread."""
        with self._lock:
            self.seconds += seconds


@dataclass(frozen=True, eq=False)
class Utterance:
    """Audio to recognise as one.

    Attributes:
        samples: shape (n,), on the int16 scale, at the model's rate.
        seconds: its length.
        method, hotwords: as for :meth:`asrpack.runtime.recognizer.Recognizer.search`.
        nbest: the most hypotheses to tell.
        meter: of the recording that it is of.
        future: what becomes of it.
        arrived: by ``time.monotonic``.
    """

    samples: NDArray[np.float32]
    seconds: float
    method: str
    hotwords: ContextGraph | None
    nbest: int = 1
    meter: Meter = field(default_factory=Meter)
    future: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)

    @property
    def bucket(self) -> int:
        """Of those with a length like this."""
        return math.ceil(math.log(max(self.seconds, 0.1), _BUCKET))


@dataclass(frozen=True, eq=False)
class Call:
    """Any other work; ``meter`` as of an utterance."""

    function: Callable[[], Any]
    meter: Meter = field(default_factory=Meter)
    future: Future[Any] = field(default_factory=Future)


class WorkQueue:
    """Gives each worker what is most pressing. Its lock is held to look and take, never to work.

    First come streams: somebody is speaking. Then files are read on, as long as less than ``room``
    seconds of audio wait, so that batches can fill and memory stays bounded; but no more blocks in
    a row than utterances make a batch, so that files in which nobody speaks hold up no others. Then
    utterances: the bucket of the oldest one. What was cancelled is passed over.
    """

    def __init__(self, policy: BatchPolicy, room: float) -> None:
        self._policy = policy
        self._room = room
        self._streams: deque[Call] = deque()
        self._reads: deque[Call] = deque()
        self._in_a_row = 0  # reads while an utterance waits
        self._buckets: dict[int, deque[Utterance]] = {}
        self._seconds = 0.0
        self._closed = False
        self._changed = threading.Condition()

    def put_call(self, call: Call, *, stream: bool) -> None:
        """A piece of a stream, or a file to read on."""
        with self._changed:
            (self._streams if stream else self._reads).append(call)
            self._changed.notify()

    def put(self, utterance: Utterance) -> None:
        """An utterance to recognise."""
        with self._changed:
            self._policy.arrived(utterance.arrived)
            self._buckets.setdefault(utterance.bucket, deque()).append(utterance)
            self._seconds += utterance.seconds
            self._changed.notify()

    def close(self) -> None:
        """From now on :meth:`take` gives what is left, then None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def done(self, size: int, audio: float, seconds: float) -> None:
        """As for :meth:`BatchPolicy.done`."""
        with self._changed:
            self._policy.done(size, audio, seconds)

    def waiting(self) -> tuple[int, float]:
        """How many utterances wait, and their seconds of audio."""
        with self._changed:
            return sum(map(len, self._buckets.values())), self._seconds

    def take(self) -> Call | list[Utterance] | None:
        """The next work, marked as running; waits for it. None when closed and empty."""
        with self._changed:
            while True:
                if call := self._next_call():
                    return call
                delay = None
                if self._buckets:
                    reads, self._in_a_row = self._in_a_row, 0
                    batch, delay = self._next_batch()
                    if batch:
                        return batch
                    if reads or not delay:  # or all of the bucket were cancelled
                        continue
                elif self._closed and not self._reads:
                    return None
                self._changed.wait(delay)

    def _next_call(self) -> Call | None:
        if call := _first(self._streams):
            return call
        if not self._buckets:
            self._in_a_row = 0
        turn = self._in_a_row < self._policy.most and self._seconds < self._room
        if turn and (call := _first(self._reads)):
            self._in_a_row += 1
            return call
        return None

    def _next_batch(self) -> tuple[list[Utterance], float]:
        """A batch; or none, and how long to wait for it to fill."""
        key = min(self._buckets, key=lambda key: self._buckets[key][0].arrived)
        bucket = self._buckets[key]
        now = time.monotonic()
        age = now - bucket[0].arrived
        longest = _BUCKET**key
        want = min(self._policy.size(longest, age), max(1, int(_BATCH_SECONDS / longest)))
        delay = self._policy.wait(len(bucket), want, longest, age, now)
        if delay and not self._closed:
            return [], delay
        batch: list[Utterance] = []
        while bucket and len(batch) < want:
            utterance = bucket.popleft()
            self._seconds -= utterance.seconds
            if utterance.future.set_running_or_notify_cancel():
                batch.append(utterance)
        if not bucket:
            del self._buckets[key]
        if not self._buckets:
            self._seconds = 0.0  # no rounding is carried on
        return batch, 0.0


def _first(calls: deque[Call]) -> Call | None:
    while calls:
        call = calls.popleft()
        if call.future.set_running_or_notify_cancel():
            return call
    return None
