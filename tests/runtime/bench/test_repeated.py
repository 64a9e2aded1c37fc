"""A WAV file that is nowhere reads as one that is somewhere."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from asrpack.runtime.audio import stream_audio
from asrpack.runtime.bench.repeated import RepeatedWav

SAMPLES = np.arange(-500, 500, dtype=np.float32)


@pytest.mark.parametrize("seconds", [0.01, 0.125, 1.0, 7.7])
def test_it_is_the_samples_again_and_again(seconds: float) -> None:
    wav = RepeatedWav(SAMPLES, 8000, seconds)
    blocks = list(stream_audio(io.BufferedReader(wav), 8000))
    count = round(seconds * 8000)
    expected = np.tile(SAMPLES, 1 + count // len(SAMPLES))[:count]
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


def test_it_may_have_more_than_4_gb() -> None:
    count = 3 << 30
    wav = io.BufferedReader(RepeatedWav(SAMPLES, 16000, count / 16000))
    np.testing.assert_array_equal(next(stream_audio(wav, 16000))[:1000], SAMPLES)
    wav.seek(0)
    with soundfile.SoundFile(wav) as audio:
        assert audio.frames == count
        audio.seek(count - 9)
        rest = audio.read(100, dtype="int16")
    np.testing.assert_array_equal(rest, np.resize(SAMPLES, count % 1000)[-9:])


def test_any_place_of_it_can_be_read() -> None:
    wav = io.BufferedReader(RepeatedWav(SAMPLES, 8000, 2.0))
    whole = wav.read()
    with io.BytesIO(whole) as stream, soundfile.SoundFile(stream) as audio:
        assert (audio.frames, audio.samplerate, audio.subtype) == (16000, 8000, "PCM_16")
    # The header, and where the second repetition begins.
    for at in (0, 7, 80, 1000, 2079, 2080, 2081, len(whole) - 1, len(whole), len(whole) + 9):
        wav.seek(at)
        assert wav.read(50) == whole[at : at + 50]
    assert wav.seek(-4, io.SEEK_END) == len(whole) - 4 and wav.read() == whole[-4:]
