"""Reads an audio file as what the model hears: mono float32 on the int16 scale.

WAV, FLAC, OGG and MP3 through libsndfile, any rate, any number of channels. Channels are mixed
in float: an integer mean overflows (PaddleSpeech's gives -2768 for a stereo sample of
[30000, 30000]).
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asrpack.errors import InputError
from asrpack.runtime.containers import DamageError, whole

FULL_SCALE = 32768.0
MIN_RATE = 4_000
MAX_RATE = 768_000
# Float files carry +-1.0 by convention; headroom up to +48 dB is let through unclipped.
MAX_FLOAT_PEAK = 256.0
BLOCK_SAMPLES = 1 << 18


def read_audio(
    source: Path | bytes, sample_rate: int, *, max_seconds: float | None = None
) -> NDArray[np.float32]:
    """Decodes, mixes and resamples one recording; as :func:`stream_audio`, all of it.

    Returns:
        Samples, shape (n,), on the int16 scale. n may be 0.
    """
    blocks = stream_audio(source, sample_rate, max_seconds=max_seconds)
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def stream_audio(
    source: Path | bytes | BinaryIO,
    sample_rate: int,
    *,
    max_seconds: float | None = None,
    taker: str = "this model",
) -> Iterator[NDArray[np.float32]]:
    """Decodes, mixes and resamples one recording, block by block.

    16-bit mono at ``sample_rate`` comes out bit-exact. Finer samples keep their fraction, float
    samples over 1.0 are not clipped. Needs memory for a block, however long the recording is.

    Args:
        source: the file's path, its contents, or the file, open and seekable.
        sample_rate: wanted, in Hz.
        max_seconds: refuse longer audio, before decoding it where the header tells its length.
        taker: who takes no more than that.

    Yields:
        Samples, shape (n,), on the int16 scale. n may be 0.

    Raises:
        InputError: the file is missing, unreadable, empty, not audio, cut short, too long, of
            an absurd rate, or has samples that are not numbers.
    """
    place = str(source) if isinstance(source, Path) else "audio"
    count, allowed = 0, None if max_seconds is None else max_seconds * sample_rate
    with _opened(source) as stream:
        for block in _resampled(_decode(stream, max_seconds, place, taker), sample_rate):
            count += len(block)
            if allowed is not None and max_seconds is not None and count > allowed:
                raise audio_too_long(count / sample_rate, max_seconds, place, taker)
            yield block


def audio_too_long(
    seconds: float, allowed: float, place: str | None = None, taker: str = "this model"
) -> InputError:
    """The refusal of audio that is longer than the model, or another taker, takes."""
    return InputError(
        f"the audio lasts {seconds:.1f} s; {taker} takes at most {allowed:.1f} s",
        code="audio-too-long",
        place=place,
        remedy=f"cut the recording into pieces of at most {allowed:.0f} s, at pauses",
    )


# MP3 and OGG headers only estimate the length; a FLAC of unknown length says 2^63 - 1.
_EXACT_LENGTH = frozenset({"WAV", "WAVEX", "FLAC", "AIFF", "AU", "RF64", "W64", "CAF"})
_UNKNOWN_LENGTH = 1 << 62


def _open(path: Path) -> BinaryIO:
    """Opens a regular file: a pipe can't be sought in, a device never ends."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(
                "cannot read the audio file: it is not a regular file",
                code="audio-unreadable",
                place=str(path),
                remedy="give the path of an audio file",
            )
        return path.open("rb")
    except OSError as error:
        raise InputError(
            f"cannot read the audio file: {error.strerror}",
            code="audio-unreadable",
            place=str(path),
            remedy="check the path and its permissions",
        ) from None


def _opened(source: Path | bytes | BinaryIO) -> AbstractContextManager[BinaryIO]:
    """What is opened here is closed again; a file that was given is not."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return _open(source) if isinstance(source, Path) else nullcontext(source)


def resampler(rate: int, wanted: int) -> soxr.ResampleStream:
    """From one rate in Hz to another, for samples that come piece by piece."""
    return soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")


def _resampled(
    blocks: Iterator[tuple[NDArray[np.float32], int]], wanted: int
) -> Iterator[NDArray[np.float32]]:
    """The same, whatever the blocks, as of the whole at once."""
    resampling = None
    for block, rate in blocks:
        if rate == wanted:
            yield block
            continue
        resampling = resampling or resampler(rate, wanted)
        yield resampling.resample_chunk(block)
    if resampling is not None:
        yield resampling.resample_chunk(np.zeros(0, np.float32), last=True)


def _decode(
    stream: BinaryIO, max_seconds: float | None, place: str, taker: str
) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Blocks of mono samples at the file's own rate, and that rate."""
    stream.seek(0)
    if not stream.read(1):
        raise InputError(
            "the audio file is empty (0 bytes)",
            code="audio-empty",
            place=place,
            remedy="record or copy the file again",
        )
    try:
        stream = whole(stream)
    except DamageError as error:
        raise _truncated(str(error), place) from None
    stream.seek(0)
    try:
        audio = soundfile.SoundFile(stream)
    except soundfile.LibsndfileError as error:
        raise _undecodable(error, place) from None
    with audio:
        rate, announced = _checked_rate(audio.samplerate, place), audio.frames
        known = announced < _UNKNOWN_LENGTH
        if known and max_seconds is not None and announced > max_seconds * rate:
            raise audio_too_long(announced / rate, max_seconds, place, taker)
        count = 0
        for block in _mix(audio, place):
            count += len(block)
            yield block, rate
        exact = known and audio.format in _EXACT_LENGTH
    if exact and count < announced:
        raise _truncated(f"{count} of {announced} samples could be decoded", place)
    if not exact and not count:
        raise _truncated("nothing in it can be decoded", place)


def _checked_rate(rate: int, place: str) -> int:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise InputError(
            f"a sample rate of {rate} Hz is not one of speech ({MIN_RATE} to {MAX_RATE} Hz)",
            code="audio-rate",
            place=place,
            remedy="the header is probably damaged: export the recording again at 16000 Hz",
        )
    return rate


def _mix(audio: soundfile.SoundFile, place: str) -> Iterator[NDArray[np.float32]]:
    """Mean over channels, block by block."""
    wanted = max(1, BLOCK_SAMPLES // audio.channels)
    while True:
        try:
            block = audio.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise _truncated(f"decoding fails ({error.error_string.rstrip('.')})", place) from None
        if not len(block):
            return
        peak = float(np.abs(block).max())
        if not np.isfinite(peak):
            raise InputError(
                "the audio has samples that are not numbers (NaN or infinite)",
                code="audio-not-finite",
                place=place,
                remedy="export the recording again as 16-bit PCM",
            )
        if peak > MAX_FLOAT_PEAK:
            raise InputError(
                f"float samples reach {peak:.6g}; full scale of a float file is 1.0",
                code="audio-scale",
                place=place,
                remedy="divide the samples by their full scale (32768 for 16-bit values)",
            )
        mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        yield mono * np.float32(FULL_SCALE)


def _truncated(what: str, place: str) -> InputError:
    return InputError(
        f"the audio file is cut short or damaged: {what}",
        code="audio-truncated",
        place=place,
        remedy="copy the file again; to use what is there, rewrite it with `sox` or `ffmpeg`",
    )


def _undecodable(error: soundfile.LibsndfileError, place: str) -> InputError:
    return InputError(
        f"not audio that can be decoded: {error.error_string.rstrip('.')}",
        code="audio-format",
        place=place,
        remedy="give a WAV, FLAC, OGG or MP3 file; convert others: `ffmpeg -i FILE out.wav`",
    )
