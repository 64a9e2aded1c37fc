"""Many recordings one after the other, some of them at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from asrpack.errors import InputError
from asrpack.runtime.recordings import NamedAudio
from asrpack.runtime.threads import default_threads
from asrpack.runtime.transcripts import Transcript

Put = Callable[[Transcript], None]


@dataclass
class Tally:
    """What became of the recordings.

    Attributes:
        total: of all.
        done: transcribed now.
        kept: that were transcribed before.
        failed: the errors of the others.
        audio_seconds: of those that were transcribed now.
    """

    total: int
    done: int = 0
    kept: int = 0
    failed: list[InputError] = field(default_factory=list)
    audio_seconds: float = 0.0


def share_cores(recordings: int, workers: int, threads: int) -> tuple[int, int]:
    """How many recordings to run at a time, and threads for an operator of each.

    Several with few threads each are faster than one after the other with many: an operator's
    threads wait for each other, and features and search have one thread anyway.

    Args:
        recordings: how many there are.
        workers, threads: 0 for as many as the machine has physical cores for.
    """
    cores = default_threads()
    if not workers:
        workers = max(1, min(recordings, cores // max(threads, 1)))
    return workers, threads or max(1, cores // workers)


def transcribe_all(
    recordings: Sequence[NamedAudio],
    transcribe: Callable[[Path], Transcript],
    claim: Callable[[NamedAudio], Put | None],
    *,
    workers: int,
    fail: Callable[[InputError], None],
    tell: Callable[[Tally], None],
    stop: Event,
) -> Tally:
    """Transcribes each, and puts what comes of it where it belongs, in their order.

    Args:
        transcribe: is called in several threads at once.
        claim: where a transcript goes; None if it is there already.
        fail: told of each recording that cannot be transcribed, or its transcript written.
        tell: called after each recording.
        stop: ends what is under way; set when an error, or Ctrl-C, ends all.

    Raises:
        AsrpackError: that is not an InputError: no other recording would fare better.
    """
    tally = Tally(len(recordings))
    pending: deque[tuple[Put, Future[Transcript]]] = deque()

    def settle() -> None:
        put, future = pending.popleft()
        try:
            transcript = future.result()
            put(transcript)
            tally.done += 1
            tally.audio_seconds += transcript.duration
        except InputError as error:
            failed(error)
        tell(tally)

    def failed(error: InputError) -> None:
        tally.failed.append(error)
        fail(error)

    pool = ThreadPoolExecutor(workers)
    try:
        for recording in recordings:
            put = None
            try:
                put = claim(recording)
                tally.kept += put is None
            except InputError as error:
                failed(error)
            if put is None:
                tell(tally)
                continue
            pending.append((put, pool.submit(transcribe, recording.path)))
            # As many again wait, so that no worker has to.
            if len(pending) >= 2 * workers:
                settle()
        while pending:
            settle()
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return tally
