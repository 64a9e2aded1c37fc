"""Long recordings in pieces, cut by the real detector where nobody speaks."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.errors import InputError
from asrpack.runtime import audio
from asrpack.runtime.audio import read_audio
from asrpack.runtime.pieces import Cutting, Piece, Recording

RATE = 16000


@pytest.fixture(scope="module")
def utterances(quickstart: Path) -> list[np.ndarray]:
    return [read_audio(path, RATE) for path in sorted((quickstart / "data/human").glob("*.wav"))]


def recorded(samples: np.ndarray, rate: int = RATE, kind: str = "WAV") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples / 32768, rate, format=kind, subtype="PCM_16")
    return stream.getvalue()


def spaced(utterances: list[np.ndarray], pause: float, times: int) -> tuple[np.ndarray, list]:
    """All of them with silence before each, so many times, and when each one is."""
    parts, spans, at = [], [], 0
    for samples in utterances * times:
        at += round(pause * RATE)
        parts += [np.zeros(round(pause * RATE), np.float32), samples]
        spans.append((at / RATE, (at + len(samples)) / RATE))
        at += len(samples)
    return np.concatenate(parts), spans


def assert_pieces(pieces: list[Piece], spans: list, rate: int = RATE) -> None:
    assert len(pieces) == len(spans)
    for piece, (start, end) in zip(pieces, spans, strict=True):
        # A recording has silence at its own ends.
        assert start - 0.25 <= piece.start <= start + 0.5
        assert end - 0.7 <= piece.start + len(piece.samples) / rate <= end + 0.25


def test_one_piece_for_each_that_was_spoken(utterances: list[np.ndarray]) -> None:
    samples, spans = spaced(utterances, 1.0, 3)
    recording = Recording(recorded(samples), RATE)
    assert_pieces(list(recording), spans)
    assert recording.seconds == len(samples) / RATE


@pytest.mark.parametrize("rate", [8000, 22050])
def test_any_rate(utterances: list[np.ndarray], rate: int) -> None:
    samples, spans = spaced(utterances, 1.0, 3)
    assert_pieces(list(Recording(recorded(samples), rate)), spans, rate)


def test_a_piece_is_that_stretch_of_the_recording(utterances: list[np.ndarray]) -> None:
    samples, _ = spaced(utterances, 1.0, 3)
    for piece in Recording(recorded(samples), RATE):
        at = round(piece.start * RATE)
        assert np.abs(piece.samples - samples[at : at + len(piece.samples)]).max() <= 1


def test_the_size_of_blocks_changes_nothing(
    utterances: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recorded(spaced(utterances, 0.6, 4)[0])
    found = []
    for size in (1 << 18, 5000, 477):
        monkeypatch.setattr(audio, "BLOCK_SAMPLES", size)
        found.append(list(Recording(data, RATE)))
    for pieces in found[1:]:
        for one, other in zip(found[0], pieces, strict=True):
            assert one.start == other.start
            assert np.array_equal(one.samples, other.samples)


def test_what_is_short_enough_is_left_as_it_is(utterances: list[np.ndarray]) -> None:
    samples = spaced(utterances, 1.0, 1)[0]
    (piece,) = Recording(recorded(samples), RATE)
    assert piece.start == 0
    assert np.array_equal(piece.samples, read_audio(recorded(samples), RATE))
    assert len(list(Recording(recorded(samples), RATE, cutting=Cutting()))) == len(utterances)


@pytest.mark.parametrize("longest", [3.0, 7.5, 30.0])
def test_no_piece_is_too_long_and_no_speech_is_lost(
    utterances: list[np.ndarray], longest: float
) -> None:
    samples = np.concatenate([item[3000:-3000] for item in utterances * 8])  # no pauses
    recording = Recording(recorded(samples), RATE, longest=longest, cutting=Cutting(silence=3))
    pieces = list(recording)
    assert max(len(piece.samples) for piece in pieces) <= longest * RATE
    at = 0.0
    for piece in pieces:
        assert -1e-6 <= piece.start - at < 0.3
        at = piece.start + len(piece.samples) / RATE
    assert recording.seconds - at < 0.3


def test_silence_has_no_pieces() -> None:
    assert list(Recording(recorded(np.zeros(40 * RATE)), RATE)) == []


def test_too_long_is_refused_with_who_takes_no_more() -> None:
    data = recorded(np.zeros(3 * RATE))
    with pytest.raises(InputError, match=r"lasts 3\.0 s; this service takes at most 2\.0 s"):
        list(Recording(data, RATE, max_seconds=2.0))


_PEAK = """
import sys
from pathlib import Path
from asrpack.runtime.memory import peak_bytes
from asrpack.runtime.pieces import Recording
count = sum(1 for _ in Recording(Path(sys.argv[1]), 16000))
print(count, peak_bytes())
"""


@pytest.mark.slow
def test_an_hour_needs_no_more_memory_than_ten_minutes(
    utterances: list[np.ndarray], tmp_path: Path
) -> None:
    ten = spaced(utterances, 0.8, 1)[0]
    ten = np.tile(ten, -(-600 * RATE // len(ten)))[: 600 * RATE] / 32768
    found = []
    for times in (1, 6):
        path = tmp_path / f"{times}.flac"
        with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as out:
            for _ in range(times):
                out.write(ten)
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, check=True
        )
        found.append([int(item) for item in done.stdout.split()])
    (few, small), (many, large) = found
    assert many > 5 * few
    assert large < 1.1 * small
