"""Reading audio: every format, rate and fault that a user's folder holds."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.errors import InputError
from asrpack.runtime.audio import read_audio

RATE = 16000


def tone(rate: int = RATE, seconds: float = 1.0, level: float = 0.3) -> np.ndarray:
    """440 Hz in [-1, 1]."""
    return level * np.sin(2 * np.pi * 440 / rate * np.arange(round(rate * seconds)))


def encoded(samples: np.ndarray, rate: int = RATE, **options: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, **({"format": "WAV", "subtype": "PCM_16"} | options))
    return stream.getvalue()


def energy_at(samples: np.ndarray, frequency: float) -> float:
    """Share of the energy within 5 Hz of a frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    axis = np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(spectrum[np.abs(axis - frequency) < 5].sum() / spectrum.sum())


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_16_bit_mono_is_bit_exact(container: str) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    samples[:2] = 32767, -32768
    assert np.array_equal(read_audio(encoded(samples, format=container), RATE), samples)


@pytest.mark.parametrize(
    ("subtype", "step"),
    [
        ("PCM_U8", 256.0),
        ("PCM_16", 1.0),
        ("PCM_24", 0.004),
        ("PCM_32", 0.001),
        ("FLOAT", 0.001),
        ("DOUBLE", 0.001),
        ("ULAW", 1200.0),
    ],
)
def test_sample_formats_agree_up_to_their_own_step(subtype: str, step: float) -> None:
    read = read_audio(encoded(tone(), subtype=subtype), RATE)
    assert read.dtype == np.float32
    assert np.abs(read - tone() * 32768).max() <= step * 1.01 + 0.002


def test_float_samples_over_full_scale_are_not_clipped() -> None:
    read = read_audio(encoded(tone(level=2.5), subtype="DOUBLE"), RATE)
    assert read.max() == pytest.approx(2.5 * 32768, rel=1e-3)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate_is_resampled(rate: int) -> None:
    read = read_audio(encoded(tone(rate), rate), RATE)
    assert abs(len(read) - RATE) <= 1
    assert energy_at(read, 440) > 0.999
    assert np.sqrt((read**2).mean()) == pytest.approx(0.3 * 32768 / np.sqrt(2), rel=0.01)


def test_resampling_does_not_fold_back() -> None:
    high = np.sin(2 * np.pi * 15000 / 48000 * np.arange(48000)) * 0.9
    read = read_audio(encoded(high, 48000), RATE)
    assert np.abs(read[800:-800]).max() < 32768 * 0.001


def test_loud_stereo_does_not_overflow() -> None:
    stereo = np.full((1600, 2), 30000, np.int16)
    assert np.array_equal(read_audio(encoded(stereo), RATE), np.full(1600, 30000))


def test_channels_are_averaged() -> None:
    channels = np.zeros((1600, 6), np.int16)
    channels[:] = 600, -300, 0, 900, 0, 0
    assert np.array_equal(read_audio(encoded(channels), RATE), np.full(1600, 200))


def test_48_khz_stereo() -> None:
    stereo = np.stack([tone(48000), np.zeros(48000)], axis=1)
    read = read_audio(encoded(stereo, 48000), RATE)
    assert np.sqrt((read**2).mean()) == pytest.approx(0.15 * 32768 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize(
    ("container", "subtype"), [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")]
)
def test_lossy_formats(container: str, subtype: str) -> None:
    read = read_audio(encoded(tone(), format=container, subtype=subtype), RATE)
    assert energy_at(read, 440) > 0.99
    assert 0.95 * RATE < len(read) < 1.2 * RATE
    assert np.sqrt((read**2).mean()) == pytest.approx(0.3 * 32768 / np.sqrt(2), rel=0.05)


def test_long_audio_is_read_in_blocks_without_a_seam() -> None:
    samples = np.random.default_rng(1).integers(-9999, 9999, (400_000, 6)).astype(np.int16)
    expected = samples.astype(np.float64).mean(axis=1)
    assert np.abs(read_audio(encoded(samples), RATE) - expected).max() < 0.01


@pytest.mark.parametrize("count", [0, 1, 384, 400])
def test_short_audio_is_audio(count: int) -> None:
    assert len(read_audio(encoded(np.zeros(count, np.int16)), RATE)) == count


def test_path_and_bytes_read_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encoded(tone()))
    assert np.array_equal(read_audio(tmp_path / "a.wav", RATE), read_audio(encoded(tone()), RATE))


def header_with(data: bytes, size: int) -> bytes:
    """The same file, its data chunk announcing another size."""
    at = data.index(b"data") + 4
    return data[:at] + size.to_bytes(4, "little") + data[at + 4 :]


WHOLE = encoded(tone())
WITH_NAN = tone()
WITH_NAN[700] = np.nan
INFINITE = np.full(RATE, np.inf)

HOSTILE = {
    "no bytes": (b"", "audio-empty"),
    "text": (b"this is no audio\n" * 100, "audio-format"),
    "random bytes": (np.random.default_rng(3).bytes(5000), "audio-format"),
    "one byte": (b"R", "audio-format"),
    "header cut": (WHOLE[:20], "audio-truncated"),
    "header only, data announced": (WHOLE[:44], "audio-truncated"),
    "half of the data": (WHOLE[: len(WHOLE) // 2], "audio-truncated"),
    "one byte short": (WHOLE[:-1], "audio-truncated"),
    "flac cut": (encoded(tone(), format="FLAC")[:9000], "audio-truncated"),
    "nan": (encoded(WITH_NAN, subtype="FLOAT"), "audio-not-finite"),
    "infinite": (encoded(INFINITE, subtype="DOUBLE"), "audio-not-finite"),
    "over float32": (encoded(tone() * 1e300, subtype="DOUBLE"), "audio-not-finite"),
    "int16 values as floats": (encoded(tone() * 32768, subtype="FLOAT"), "audio-scale"),
    "rate of 1 Hz": (encoded(tone(), 1), "audio-rate"),
    "rate of 2 GHz": (encoded(tone(), 2_000_000_000), "audio-rate"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_audio_is_refused_with_cause_and_remedy(case: str, tmp_path: Path) -> None:
    data, code = HOSTILE[case]
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_audio(path, RATE)
    assert (caught.value.code, caught.value.place) == (code, str(path))
    assert caught.value.message and caught.value.remedy


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_streamed_wav_that_never_knew_its_length_is_whole(size: int) -> None:
    assert np.array_equal(read_audio(header_with(WHOLE, size), RATE), read_audio(WHOLE, RATE))


def test_chunks_around_the_data_are_passed_over() -> None:
    samples = read_audio(WHOLE, RATE)
    at = WHOLE.index(b"data")
    before = WHOLE[:at] + b"LIST\x03\0\0\0abc\0" + WHOLE[at:]
    assert np.array_equal(read_audio(before, RATE), samples)
    assert np.array_equal(read_audio(WHOLE + b"id3 \x04\0\0\0abcd", RATE), samples)


def test_a_file_cut_anywhere_is_refused() -> None:
    whole = encoded(tone(seconds=0.03), format="WAV")
    for size in range(len(whole)):
        with pytest.raises(InputError):
            read_audio(whole[:size], RATE)


def test_missing_file_directory_and_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, cause in (
        (tmp_path / "none.wav", "No such file"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        with pytest.raises(InputError, match=cause) as caught:
            read_audio(path, RATE)
        assert caught.value.code == "audio-unreadable"


def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(WHOLE)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root reads anything: be somebody else for a moment
        for folder in [tmp_path, *tmp_path.parents]:
            if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
                folder.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            read_audio(path, RATE)
    finally:
        os.seteuid(user)


def test_too_long_is_refused_from_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted(*_: object, **__: object) -> None:
        raise AssertionError("decoded audio that its header says is too long")

    monkeypatch.setattr(soundfile.SoundFile, "read", unwanted)
    with pytest.raises(InputError, match=r"lasts 3\.0 s; this model takes at most 2\.0 s"):
        read_audio(encoded(tone(seconds=3)), RATE, max_seconds=2)


def test_as_long_as_allowed_is_read() -> None:
    assert len(read_audio(encoded(tone(48000, 2.0), 48000), RATE, max_seconds=2)) == 2 * RATE
