"""From an audio file to what is told about it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.runtime.audio import stream_audio
from asrpack.runtime.decoding import ContextGraph, UnitTime
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.formats import to_json
from asrpack.runtime.pieces import Recording, longest_piece
from asrpack.runtime.recognizer import Recognised, Recognizer
from asrpack.runtime.recordings import source_of
from asrpack.runtime.search import Hypothesis
from asrpack.runtime.streaming import StreamingRecognizer
from asrpack.runtime.timed_text import TimedSegment, TimedText, join_segments, timed_segment

# What a microphone gives at a time.
_PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class Wishes:
    """How to transcribe, and what to tell.

    Attributes:
        nbest: how many hypotheses to list; 0 for none.
        times: find when each unit was spoken.
        stop: set, what is under way ends with ``CancelledError``.
    """

    method: str
    hotwords: ContextGraph | None = None
    nbest: int = 0
    times: bool = False
    stop: Event = field(default_factory=Event)

    def go_on(self) -> None:
        """Called between the pieces of a recording, and wherever else it may end.

        Raises:
            CancelledError: nobody waits for it any more.
        """
        if self.stop.is_set():
            raise CancelledError


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
    """What became of one recording.

    Attributes:
        audio: the path as it was given.
        spoken: what was recognised, and when.
        score: log-probability as the method defines it, the sum of all pieces'.
        confidence: see :class:`asrpack.runtime.search.Hypothesis`; the least of all pieces'.
        rtf: seconds of processing for a second of audio; None for audio without samples.
        decode: the method used.
        segmented: whether the segments are of the recording, not the recording itself.
        nbest: where asked for.
        units: where asked for.
    """

    audio: str
    spoken: TimedText
    score: float
    confidence: float
    rtf: float | None
    decode: str
    segmented: bool
    nbest: tuple[Alternative, ...] | None = None
    units: tuple[SpokenUnit, ...] | None = None

    @property
    def text(self) -> str:
        """What was recognised."""
        return self.spoken.text

    @property
    def duration(self) -> float:
        """Of the audio, in seconds."""
        return self.spoken.duration

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without what was not asked for."""
        told = to_json(self.spoken)
        shape = {
            "audio": self.audio,
            "text": told["text"],
            "score": self.score,
            "confidence": self.confidence,
            "duration": told["duration"],
            "rtf": self.rtf,
            "decode": self.decode,
        }
        if self.segmented or self.units is not None:
            shape["segments"] = told["segments"]
        if self.nbest is not None:
            shape["nbest"] = [asdict(item) for item in self.nbest]
        if self.units is not None:
            shape["units"] = [asdict(item) for item in self.units]
        return shape


def transcribe_file(recognizer: Recognizer, path: Path, wishes: Wishes) -> Transcript:
    """:func:`transcribe_audio` of a file or :data:`recordings.STDIN`."""
    return transcribe_audio(recognizer, source_of(path), path, wishes)


def transcribe_audio(
    recognizer: Recognizer, source: Path | bytes | BinaryIO, path: Path, wishes: Wishes
) -> Transcript:
    """Reads and transcribes one recording.

    One of up to 30 s is recognised as a whole, a longer one piece by piece
    (:mod:`asrpack.runtime.pieces`); there is no more of it in memory than a piece.

    Args:
        source: as for :func:`asrpack.runtime.audio.stream_audio`.
        path: what it is called.

    Raises:
        InputError: it cannot be read, or the n-best of more than a piece are asked for.
        KeyFileError: the licence does not allow it.
    """
    began = time.perf_counter()
    about = recognizer.description
    longest = longest_piece(recognizer.max_seconds)
    recording = Recording(source, about.sample_rate, longest=longest)
    segments: list[TimedSegment] = []
    best: list[Hypothesis] = []
    units: list[SpokenUnit] = []
    more: dict[str, Any] = {}
    for piece in recording.steps():
        wishes.go_on()
        if piece is None:
            continue
        seconds = len(piece.samples) / about.sample_rate
        if wishes.nbest and recording.seconds > longest:
            raise InputError(
                f"the n-best are told of recordings of up to {longest:.0f} s",
                code="audio-too-long",
                place=str(path),
                remedy="leave --nbest out, or cut the recording at pauses",
            )
        encoded, nbest = recognizer.recognise(piece.samples, wishes.method, wishes.hotwords)
        best.append(nbest[0])
        if wishes.nbest:
            more["nbest"] = tuple(
                Alternative(item.text, round(item.score, 4), round(item.confidence, 4))
                for item in nbest[: wishes.nbest]
            )
        times = recognizer.times(encoded, nbest[0], seconds) if wishes.times else []
        units += _spoken_units(times, about, piece.start)
        segments.append(
            timed_segment(
                Recognised(nbest[0], times), about, start=piece.start, end=piece.start + seconds
            )
        )
    if wishes.times:
        more["units"] = tuple(units)
    spoken = join_segments(segments, recording.seconds, about)
    more["segmented"] = recording.seconds > longest
    return _transcript(path, spoken, best, began, wishes.method, **more)


def _spoken_units(
    times: Sequence[UnitTime], about: ModelDescription, offset: float
) -> Iterator[SpokenUnit]:
    """As far as the text goes: CTC may find units behind the end."""
    for item in takewhile(lambda item: item.unit != about.eos, times):
        yield SpokenUnit(
            about.tokens[item.unit],
            round(offset + item.start, 3),
            round(offset + item.end, 3),
            round(item.confidence, 4),
        )


def stream_file(streams: StreamingRecognizer, path: Path, wishes: Wishes) -> Transcript:
    """Reads one recording and transcribes it as it would come from a microphone.

    Utterances end at pauses (:class:`Endpointing`), so it may be of any length.

    Raises:
        InputError: it cannot be read.
        KeyFileError: the licence does not allow it.
    """
    began = time.perf_counter()
    about = streams.recognizer.description
    stream = streams.stream(wishes.method, Endpointing(), wishes.hotwords)
    piece = round(about.sample_rate * _PIECE_SECONDS)
    count = 0
    for block in stream_audio(source_of(path), about.sample_rate):
        count += len(block)
        for start in range(0, len(block), piece):
            wishes.go_on()
            stream.accept(block[start : start + piece])
    hypothesis = stream.finish()
    segments = [
        timed_segment(segment, about, start=segment.start, end=segment.end)
        for segment in stream.segments
    ]
    spoken = join_segments(segments, count / about.sample_rate, about)
    return _transcript(path, spoken, [hypothesis], began, wishes.method, segmented=True)


def _transcript(
    path: Path,
    spoken: TimedText,
    found: Sequence[Hypothesis],
    began: float,
    method: str,
    *,
    segmented: bool,
    **more: Any,
) -> Transcript:
    seconds = spoken.duration
    return Transcript(
        audio=str(path),
        spoken=spoken,
        score=round(sum(item.score for item in found), 4),
        confidence=round(min((item.confidence for item in found), default=1.0), 4),
        rtf=round((time.perf_counter() - began) / seconds, 5) if seconds else None,
        decode=method,
        segmented=segmented,
        **more,
    )
