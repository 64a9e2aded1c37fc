"""What is sent: recordings, ready to send, and the texts that are expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrpack.errors import UsageError
from asrpack.recipe.manifest import read_manifest
from asrpack.runtime.audio import read_audio
from asrpack.runtime.recordings import STDIN, find_recordings

RATE = 16000


@dataclass(frozen=True)
class Sound:
    """One recording.

    Attributes:
        seconds: of audio.
        body: what the protocol sends of it, made once.
        text: what it must be answered with; None where that is not known.
    """

    name: str
    seconds: float
    body: bytes
    text: str | None


def load_sounds(
    audio: Sequence[Path], manifest: Path | None, prepare: Callable[[Path, bytes], bytes]
) -> list[Sound]:
    """Reads all of it into memory.

    Args:
        audio: files and folders.
        manifest: recordings with the texts that are expected, empty ones of silence too.
        prepare: from a file and its 16-bit samples at :data:`RATE` to what is sent.

    Raises:
        AsrpackError: there is none, or one cannot be read.
    """
    given = list(_named(audio, manifest))
    if not given:
        raise UsageError(
            "no audio was given",
            code="stress-audio",
            remedy="give --audio FILE|FOLDER, or --manifest FILE with the texts that are expected",
        )
    return [_sound(path, text, prepare) for path, text in given]


def _named(audio: Sequence[Path], manifest: Path | None) -> Iterator[tuple[Path, str | None]]:
    if STDIN in audio:
        raise UsageError("standard input is sent once", code="stress-audio", remedy="give a file")
    for found in find_recordings(audio)[0]:
        yield found.path, None
    if manifest is not None:
        for utterance in read_manifest(manifest, allow_empty=True):
            yield utterance.audio, utterance.text


def _sound(path: Path, text: str | None, prepare: Callable[[Path, bytes], bytes]) -> Sound:
    samples = read_audio(path, RATE)
    pcm = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
    return Sound(str(path), len(samples) / RATE, prepare(path, pcm), text)
