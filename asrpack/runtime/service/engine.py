"""The engine: worker threads that recognise what files, HTTP and WebSocket bring."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import AsrpackError
from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.recognizer import Recognised, Recognizer
from asrpack.runtime.search import Encoded
from asrpack.runtime.service.batching import BatchPolicy
from asrpack.runtime.service.joining import joins
from asrpack.runtime.service.work_queue import Call, Meter, Utterance, WorkQueue
from asrpack.runtime.threads import default_threads

T = TypeVar("T")
Floats = NDArray[np.float32]
_MOST = 16
# Of audio that waits, for each worker.
_ROOM_SECONDS = 240.0
# A graph run on one utterance after the other needs one thread a worker; more would take turns.
THREADS_PER_GRAPH = 1


class BusyError(AsrpackError):
    """Too much is being done already.

    Attributes:
        retry_after: seconds after which there may be room.
    """

    def __init__(self, message: str, *, code: str, retry_after: int) -> None:
        super().__init__(message, code=code, remedy=f"try again in {retry_after} s")
        self.retry_after = retry_after


def draining() -> BusyError:
    """Nothing is begun any more."""
    return BusyError("the service is shutting down", code="draining", retry_after=5)


class Engine:
    """Runs one model for many. Methods may be called from several threads at once.

    A batch's result is that of each utterance alone, but for the last digits of a score: graphs
    that would mix them are run on one at a time (see :mod:`asrpack.runtime.service.joining`), and
    the workers are what runs at once.

    Args:
        recognizer: loaded with :data:`THREADS_PER_GRAPH`.
        jobs: how many requests and streams may be under way, the waiting ones among them.
        workers: threads; 0 for the machine's physical cores.
        latency: the target, in seconds from an utterance's arrival to its result.
        on_batch: told size and seconds of audio of each batch.
        on_busy: told seconds of a worker, for all that they do.

    Attributes:
        joined: whether utterances are joined to batches.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        jobs: int = 64,
        workers: int = 0,
        latency: float = 1.0,
        on_batch: Callable[[int, float], None] = lambda *_: None,
        on_busy: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.recognizer = recognizer
        self.joined = joins(recognizer)
        self.workers = workers or default_threads()
        self._jobs = jobs
        self._running = 0
        self._closed = False
        self._job_seconds = 1.0
        self._lock = threading.Lock()
        self._on_batch = on_batch
        self._on_busy = on_busy
        self._queue = WorkQueue(
            BatchPolicy(_MOST if self.joined else 1, latency), _ROOM_SECONDS * self.workers
        )
        self._threads = [
            threading.Thread(target=self._work, name=f"recogniser-{number}", daemon=True)
            for number in range(self.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> int:
        """Jobs under way, the waiting ones among them."""
        return self._running

    def waiting(self) -> tuple[int, float]:
        """Utterances that no worker has begun with, and their seconds of audio."""
        return self._queue.waiting()

    @contextmanager
    def job(self, *, place: bool = True, spoken: bool = False) -> Iterator[None]:
        """One request or stream from beginning to end.

        Args:
            place: hold a place of the licence; not where a
                :class:`asrpack.runtime.streaming.Stream` holds its own.
            spoken: it lasts as long as somebody speaks, which tells those who are refused nothing.

        Raises:
            BusyError: so many are under way already, or the engine is draining.
            KeyFileError: the licence does not allow it.
        """
        self._begin()
        began = time.monotonic()
        try:
            leave = self.recognizer.take_place() if place else None
            try:
                yield
            finally:
                if leave is not None:
                    leave()
        finally:
            with self._lock:
                self._running -= 1
                if not spoken:
                    self._job_seconds += 0.2 * (time.monotonic() - began - self._job_seconds)

    def check_room(self) -> None:
        """Whether a job could begin now: before its audio is received.

        Raises:
            BusyError: as :meth:`job`.
        """
        if self._closed:
            raise draining()
        if self._running >= self._jobs:
            raise self.busy(f"{self._running} requests are under way, and no more are taken")

    def busy(self, message: str) -> BusyError:
        """The refusal of what there is no room for until a job has ended."""
        seconds = max(1, min(60, math.ceil(self._job_seconds)))
        return BusyError(message, code="busy", retry_after=seconds)

    def _begin(self) -> None:
        with self._lock:
            self.check_room()
            self._running += 1

    def submit(
        self,
        samples: Floats,
        method: str,
        hotwords: ContextGraph | None = None,
        nbest: int = 1,
        meter: Meter | None = None,
    ) -> Future[Recognised]:
        """Recognises one utterance; cancel the future when nobody waits for it any more.

        Args:
            samples: shape (n,), on the int16 scale, at the model's rate.
            method, hotwords: as for :meth:`Recognizer.search`.
            nbest: the most hypotheses to tell.
            meter: counts the worker's time, or a share of it, before there is a result.
        """
        seconds = len(samples) / self.recognizer.description.sample_rate
        utterance = Utterance(samples, seconds, method, hotwords, nbest, meter or Meter())
        self._queue.put(utterance)
        return utterance.future

    def read(self, function: Callable[[], T], meter: Meter | None = None) -> Future[T]:
        """Runs what reads audio that is to be recognised, when there is room for it."""
        return self._call(Call(function, meter or Meter()), stream=False)

    def stream(self, function: Callable[[], T], meter: Meter | None = None) -> Future[T]:
        """Runs a step of a stream, before all else."""
        return self._call(Call(function, meter or Meter()), stream=True)

    def close(self) -> None:
        """Begins no more jobs, finishes what was submitted, and ends the workers."""
        with self._lock:
            self._closed = True
        self._queue.close()
        for thread in self._threads:
            thread.join()

    def _call(self, call: Call, *, stream: bool) -> Future[Any]:
        self._queue.put_call(call, stream=stream)
        return call.future

    def _work(self) -> None:
        while (work := self._queue.take()) is not None:
            if isinstance(work, Call):
                self._settle(work, work.function)
            else:
                self._recognise(work)
            del work  # not while waiting for the next

    def _recognise(self, batch: Sequence[Utterance]) -> None:
        began = time.perf_counter()
        together = self._encode(batch) if len(batch) > 1 else None
        share = (time.perf_counter() - began) / len(batch)
        for place, utterance in enumerate(batch):
            encoded = None if together is None else together[place]
            self._settle(utterance, partial(self._search, utterance, encoded), share)
        seconds = time.perf_counter() - began
        longest = max(utterance.seconds for utterance in batch)
        self._queue.done(len(batch), len(batch) * longest, seconds)
        self._on_batch(len(batch), sum(utterance.seconds for utterance in batch))

    def _encode(self, batch: Sequence[Utterance]) -> list[Encoded] | None:
        """None where one of them is at fault: each for itself finds which."""
        try:
            feats = [self.recognizer.features(utterance.samples) for utterance in batch]
            if min(map(len, feats)) <= self.recognizer.description.right_context:
                return None
            return self.recognizer.encode_batch(feats)
        except Exception:
            return None

    def _search(self, utterance: Utterance, encoded: Encoded | None) -> Recognised:
        recognizer = self.recognizer
        if encoded is None:
            (encoded,) = recognizer.encode_batch([recognizer.features(utterance.samples)])
        found = recognizer.nbest(encoded, utterance.method, utterance.hotwords)
        return recognizer.timed(encoded, found[: utterance.nbest], utterance.seconds)

    def _settle(
        self, work: Call | Utterance, function: Callable[[], Any], share: float = 0.0
    ) -> None:
        """``share``: seconds of it that were spent on others, too."""
        began = time.perf_counter()
        try:
            result = function()
        except BaseException as error:
            self._spent(work, share + time.perf_counter() - began)
            work.future.set_exception(error)
        else:
            self._spent(work, share + time.perf_counter() - began)
            work.future.set_result(result)

    def _spent(self, work: Call | Utterance, seconds: float) -> None:
        work.meter.add(seconds)
        self._on_busy(seconds)
