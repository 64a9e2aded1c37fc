"""What ``asrpack run`` and a bundle's own command line do, behind their flags."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asrpack.errors import InputError
from asrpack.runtime.audio import read_audio
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.keyring import TRUST_VARIABLE, identity_source, trust_paths
from asrpack.runtime.load import OpenBundle, open_bundle
from asrpack.runtime.recognizer import Hypothesis, Recognizer
from asrpack.runtime.streaming import StreamingRecognizer

# What a microphone gives at a time.
_PIECE_SECONDS = 0.1


@dataclass(frozen=True)
class Transcript:
    """One line of ``run --json``.

    Attributes:
        audio: the path as it was given.
        text: what was recognised.
        score: log-probability as the method defines it.
        duration: of the audio, in seconds.
        rtf: seconds of processing for a second of audio; None for audio without samples.
        decode: the method used.
    """

    audio: str
    text: str
    score: float
    duration: float
    rtf: float | None
    decode: str


@dataclass(frozen=True)
class SpokenText:
    """What was said between two endpoints, and when, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class StreamedTranscript(Transcript):
    """One line of ``run --streaming --json``."""

    segments: tuple[SpokenText, ...]


def run(
    bundle: Path,
    audio: Sequence[Path],
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    decode: str | None = None,
    streaming: bool = False,
    as_json: bool = False,
    threads: int = 0,
) -> int:
    """Transcribes files, one line each on standard output: ``AUDIO: text``, or JSON.

    A file that cannot be read is reported on standard error and the others go on.

    Args:
        streaming: hear the files piece by piece, as from a microphone.

    Returns:
        0, or 3 if a file failed.

    Raises:
        AsrpackError: the bundle cannot be opened, there is no such decoding method, or the model
            does not stream.
    """
    recognizer = _open(bundle, identity, trust, threads).recognizer
    method = recognizer.check_method(decode)
    streams = StreamingRecognizer(recognizer) if streaming else None
    code = 0
    for path in audio:
        try:
            result = (
                transcribe_file(recognizer, path, method)
                if streams is None
                else stream_file(streams, path, method)
            )
        except InputError as error:
            _say(f"asrpack: {error}", error=True)
            code = error.exit_code
            continue
        if as_json:
            _say(json.dumps(asdict(result), ensure_ascii=False))
        else:
            _say(f"{result.audio}: {result.text}".rstrip())
    return code


def transcribe_file(recognizer: Recognizer, path: Path, method: str) -> Transcript:
    """Reads and transcribes one audio file.

    Raises:
        InputError: the file cannot be read, or is longer than the model takes.
    """
    began = time.perf_counter()
    rate = recognizer.description.sample_rate
    samples = read_audio(path, rate, max_seconds=recognizer.max_seconds)
    hypothesis = recognizer.transcribe(samples, method)
    return _transcript(path, hypothesis, len(samples) / rate, began, method)


def stream_file(streams: StreamingRecognizer, path: Path, method: str) -> StreamedTranscript:
    """Reads one audio file and transcribes it as it would come from a microphone.

    Utterances end at pauses (:class:`Endpointing`), so the file may be of any length.

    Raises:
        InputError: the file cannot be read.
    """
    began = time.perf_counter()
    rate = streams.recognizer.description.sample_rate
    samples = read_audio(path, rate)
    stream = streams.stream(method, Endpointing())
    piece = round(rate * _PIECE_SECONDS)
    for start in range(0, len(samples), piece):
        stream.accept(samples[start : start + piece])
    hypothesis = stream.finish()
    return StreamedTranscript(
        **asdict(_transcript(path, hypothesis, len(samples) / rate, began, method)),
        segments=tuple(
            SpokenText(segment.hypothesis.text, round(segment.start, 3), round(segment.end, 3))
            for segment in stream.segments
        ),
    )


def _transcript(
    path: Path, hypothesis: Hypothesis, seconds: float, began: float, method: str
) -> Transcript:
    rtf = round((time.perf_counter() - began) / seconds, 5) if seconds else None
    return Transcript(
        str(path), hypothesis.text, round(hypothesis.score, 4), round(seconds, 3), rtf, method
    )


def selftest(
    bundle: Path, *, identity: str | None, trust: Sequence[Path] = (), threads: int = 0
) -> int:
    """:func:`try_out`, told on standard output; returns 0."""
    opened = try_out(bundle, identity=identity, trust=trust, threads=threads)
    about, methods = opened.metadata, ", ".join(opened.description.methods)
    _say(f"ok: {about.name} {about.version} ({about.build}): {methods}")
    return 0


def try_out(
    bundle: Path, *, identity: str | None, trust: Sequence[Path] = (), threads: int = 0
) -> OpenBundle:
    """Verifies, decrypts, loads, and runs every decoding method on a second of tone, and a stream.

    Raises:
        AsrpackError: any of these failed.
    """
    opened = _open(bundle, identity, trust, threads)
    recognizer = opened.recognizer
    rate = opened.description.sample_rate
    tone = (3000 * np.sin(2 * np.pi * 440 / rate * np.arange(rate))).astype(np.float32)
    encoded = recognizer.encode(recognizer.features(tone))
    for method in opened.description.methods:
        recognizer.decode(encoded, method)
    if opened.description.streaming is not None:
        stream = StreamingRecognizer(recognizer).stream()
        stream.accept(tone)
        stream.finish()
    return opened


def _open(bundle: Path, identity: str | None, trust: Sequence[Path], threads: int) -> OpenBundle:
    source, pinned = identity_source(identity), trust_paths(trust)
    if not pinned:
        _say(
            "asrpack: warning: no vendor key is pinned, so who signed this bundle is not checked; "
            f"pin it with --trust or {TRUST_VARIABLE}=FILE",
            error=True,
        )
    return open_bundle(bundle, source, pinned, threads=threads)


def _say(line: str, *, error: bool = False) -> None:
    stream = sys.stderr if error else sys.stdout
    # File names need not be valid text, and not every terminal can show every script.
    shown = line.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
    stream.write(shown + "\n")
    stream.flush()
