"""From an audio file to what is told about it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from asrpack.runtime.audio import read_audio
from asrpack.runtime.decoding import ContextGraph
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Hypothesis
from asrpack.runtime.streaming import StreamingRecognizer

# What a microphone gives at a time.
_PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class Wishes:
    """How to transcribe, and what to tell.

    Attributes:
        nbest: how many hypotheses to list; 0 for none.
        times: tell when each unit was spoken.
    """

    method: str
    hotwords: ContextGraph | None = None
    nbest: int = 0
    times: bool = False


@dataclass(frozen=True)
class SpokenText:
    """What was said between two endpoints, and when, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class SpokenUnit:
    """One unit of the vocabulary, when it was said, in seconds, and how sure that is (0 to 1)."""

    unit: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Alternative:
    """One of the n-best; as in :class:`asrpack.runtime.search.Hypothesis`."""

    text: str
    score: float
    confidence: float


@dataclass(frozen=True)
class Transcript:
    """One line of ``run --json``.

    Attributes:
        audio: the path as it was given.
        text: what was recognised.
        score: log-probability as the method defines it.
        confidence: see :class:`asrpack.runtime.search.Hypothesis`.
        duration: of the audio, in seconds.
        rtf: seconds of processing for a second of audio; None for audio without samples.
        decode: the method used.
        segments: of a stream; None otherwise.
        nbest: where asked for.
        units: where asked for.
    """

    audio: str
    text: str
    score: float
    confidence: float
    duration: float
    rtf: float | None
    decode: str
    segments: tuple[SpokenText, ...] | None = None
    nbest: tuple[Alternative, ...] | None = None
    units: tuple[SpokenUnit, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without what was not asked for."""
        optional = ("segments", "nbest", "units")
        return {k: v for k, v in asdict(self).items() if k not in optional or v is not None}


def transcribe_file(recognizer: Recognizer, path: Path, wishes: Wishes) -> Transcript:
    """Reads and transcribes one audio file.

    Raises:
        InputError: the file cannot be read, or is longer than the model takes.
        KeyFileError: the licence does not allow it.
    """
    began = time.perf_counter()
    rate = recognizer.description.sample_rate
    samples = read_audio(path, rate, max_seconds=recognizer.max_seconds)
    seconds = len(samples) / rate
    encoded, nbest = recognizer.recognise(samples, wishes.method, wishes.hotwords)
    more: dict[str, Any] = {}
    if wishes.nbest:
        more["nbest"] = tuple(
            Alternative(item.text, round(item.score, 4), round(item.confidence, 4))
            for item in nbest[: wishes.nbest]
        )
    if wishes.times:
        about = recognizer.description
        eos_id = about.eos_id % len(about.tokens)
        found = recognizer.times(encoded, nbest[0], seconds)
        more["units"] = tuple(
            SpokenUnit(
                about.tokens[item.unit],
                round(item.start, 3),
                round(item.end, 3),
                round(item.confidence, 4),
            )
            # As far as the text goes: CTC may find units behind the end.
            for item in takewhile(lambda item: item.unit != eos_id, found)
        )
    return _transcript(path, nbest[0], seconds, began, wishes.method, **more)


def stream_file(streams: StreamingRecognizer, path: Path, wishes: Wishes) -> Transcript:
    """Reads one audio file and transcribes it as it would come from a microphone.

    Utterances end at pauses (:class:`Endpointing`), so the file may be of any length.

    Raises:
        InputError: the file cannot be read.
        KeyFileError: the licence does not allow it.
    """
    began = time.perf_counter()
    rate = streams.recognizer.description.sample_rate
    samples = read_audio(path, rate)
    stream = streams.stream(wishes.method, Endpointing(), wishes.hotwords)
    piece = round(rate * _PIECE_SECONDS)
    for start in range(0, len(samples), piece):
        stream.accept(samples[start : start + piece])
    hypothesis = stream.finish()
    segments = tuple(
        SpokenText(segment.hypothesis.text, round(segment.start, 3), round(segment.end, 3))
        for segment in stream.segments
    )
    seconds = len(samples) / rate
    return _transcript(path, hypothesis, seconds, began, wishes.method, segments=segments)


def _transcript(
    path: Path, hypothesis: Hypothesis, seconds: float, began: float, method: str, **more: Any
) -> Transcript:
    return Transcript(
        audio=str(path),
        text=hypothesis.text,
        score=round(hypothesis.score, 4),
        confidence=round(hypothesis.confidence, 4),
        duration=round(seconds, 3),
        rtf=round((time.perf_counter() - began) / seconds, 5) if seconds else None,
        decode=method,
        **more,
    )
