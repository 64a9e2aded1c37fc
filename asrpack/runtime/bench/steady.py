"""Speed and memory once a bundle is open: file by file, one long recording, many at a time."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.errors import AsrpackError
from asrpack.runtime.audio import stream_audio
from asrpack.runtime.bench.job import Job
from asrpack.runtime.bench.opened import open_for, sources
from asrpack.runtime.bench.repeated import RepeatedWav
from asrpack.runtime.bench.statistics import latency, slope, thinned
from asrpack.runtime.host import describe_host
from asrpack.runtime.load import OpenBundle
from asrpack.runtime.memory import forget_peak, peak_bytes, resident_bytes
from asrpack.runtime.pieces import Recording, longest_piece
from asrpack.runtime.service.engine import THREADS_PER_GRAPH, Engine
from asrpack.runtime.transcripts import Wishes, transcribe_audio

_SAMPLE_SECONDS = 0.25
_POINTS = 100


def measure_files(job: Job) -> dict[str, Any]:
    """Each recording by itself, over and over; the first round is told apart, as warm-up."""
    opened = open_for(job)
    loading = peak_bytes()
    forget_peak()
    recognizer = opened.recognizer
    wishes = Wishes(opened.description.decode.method)
    given = sources(job, opened)
    rounds, audio = [], 0.0
    for _ in range(job.rounds + 1):
        taken = []
        audio = 0.0
        for source in given:
            began = time.perf_counter()
            audio += transcribe_audio(recognizer, source(), Path("-"), wishes).duration
            taken.append(time.perf_counter() - began)
        rounds.append(taken)
    warmup, *steady = (sum(taken) / audio for taken in rounds)
    return {
        "bundle": _about(opened),
        "host": describe_host(),
        "decode": wishes.method,
        "recordings": len(given),
        "audio_seconds": audio,
        "rounds": job.rounds,
        "rtf": {"median": float(np.median(steady)), "range": [min(steady), max(steady)]},
        "warmup_rtf": warmup,
        "latency": latency([item for taken in rounds[1:] for item in taken]),
        "memory": {"loading": loading, "running": peak_bytes()},
    }


def measure_long(job: Job) -> dict[str, Any]:
    """One recording of ``job.seconds``: the given ones again and again, read as a file is."""
    opened = open_for(job)
    recognizer = opened.recognizer
    wishes = Wishes(opened.description.decode.method)
    given = sources(job, opened)
    rate = opened.description.sample_rate
    once = np.concatenate([block for source in given for block in stream_audio(source(), rate)])
    # Buffered: libsndfile takes a short read for the end.
    recording = io.BufferedReader(RepeatedWav(once, rate, job.seconds))
    transcribe_audio(recognizer, given[0](), Path("-"), wishes)  # warm-up
    forget_peak()
    with _watched_memory() as memory:
        began = time.perf_counter()
        transcript = transcribe_audio(recognizer, recording, Path("-"), wishes)
        taken = time.perf_counter() - began
    return {
        "audio_seconds": transcript.duration,
        "seconds": taken,
        "rtf": taken / transcript.duration,
        "segments": len(transcript.spoken.segments),
        # Linux notes the peak a little late.
        "memory": {
            "peak": max(peak_bytes(), *(size for _, size in memory)),
            **_over_time(memory, transcript.duration),
        },
    }


def measure_load(job: Job) -> dict[str, Any]:
    """So many clients at a time, each sending the next recording as it has the last one's text.

    The audio is decoded before, and cut into pieces where it is long; the engine is the service's.
    """
    opened = open_for(replace(job, threads=THREADS_PER_GRAPH))
    recognizer = opened.recognizer
    method = opened.description.decode.method
    rate, longest = opened.description.sample_rate, longest_piece(recognizer.max_seconds)
    pieces = [
        piece.samples
        for source in sources(job, opened)
        for piece in Recording(source(), rate, longest=longest)
    ]
    engine = Engine(recognizer, workers=job.threads)
    for samples in pieces:
        engine.submit(samples, method).result()  # warm-up
    levels = [_level(engine, method, pieces, clients, job.seconds) for clients in job.clients]
    engine.close()
    return {"workers": engine.workers, "batches": engine.joined, "levels": levels}


def _level(
    engine: Engine, method: str, pieces: Sequence[Any], clients: int, seconds: float
) -> dict[str, Any]:
    rate = engine.recognizer.description.sample_rate
    latencies: list[float] = []
    errors: list[str] = []
    audio: list[float] = []
    turns = count()
    began = time.perf_counter()

    def client() -> None:
        while (sent := time.perf_counter()) - began < seconds:
            samples = pieces[next(turns) % len(pieces)]
            try:
                with engine.job():
                    engine.submit(samples, method).result()
            except AsrpackError as error:
                errors.append(error.code)
                time.sleep(0.05)  # a client that is refused waits
                continue
            latencies.append(time.perf_counter() - sent)
            audio.append(len(samples) / rate)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    return {
        "clients": clients,
        "seconds": taken,
        "audio_seconds": sum(audio),
        "times_real_time": sum(audio) / taken,
        "latency": latency(latencies),
        "errors": {code: errors.count(code) for code in sorted(set(errors))},
        "resident": resident_bytes(),
    }


@contextmanager
def _watched_memory() -> Iterator[list[tuple[float, int]]]:
    """Seconds and resident bytes, every now and then while the context lasts."""
    samples: list[tuple[float, int]] = []
    done = threading.Event()
    began = time.perf_counter()

    def watch() -> None:
        while not done.wait(_SAMPLE_SECONDS):
            samples.append((time.perf_counter() - began, resident_bytes()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
        samples.append((time.perf_counter() - began, resident_bytes()))


def _over_time(samples: Sequence[tuple[float, int]], audio_seconds: float) -> dict[str, Any]:
    """``resident`` bytes over time, and their ``slope``, settled, in bytes an hour of audio."""
    end, per_second = samples[-1][0], slope(samples)
    return {
        "slope": None if per_second is None else per_second * end * 3600 / audio_seconds,
        "resident": [[round(second, 2), size] for second, size in thinned(samples, _POINTS)],
    }


def _about(opened: OpenBundle) -> dict[str, Any]:
    about = opened.metadata
    return {
        "name": about.name,
        "version": about.version,
        "build": about.build,
        "precision": about.precision,
        "target": about.target,
        "provider": opened.recognizer.provider,
    }
