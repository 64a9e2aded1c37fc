"""What files say of their length: cut ones are refused, streamed ones are read to their end."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.errors import InputError
from asrpack.runtime.audio import read_audio
from asrpack.runtime.containers import DamageError, whole
from asrpack.runtime.containers.mended import Mended

RATE = 16000
SAMPLES = (np.random.default_rng(0).standard_normal(8000) * 3000).astype(np.int16)


def encoded(
    container: str, subtype: str = "PCM_16", samples: np.ndarray = SAMPLES, endian: str = "FILE"
) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE, format=container, subtype=subtype, endian=endian)
    return stream.getvalue()


FILES = {
    **{name: encoded(name) for name in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU")},
    "RIFX": encoded("WAV", endian="BIG"),
    "AIFC": encoded("AIFF", "FLOAT", SAMPLES / 32768),
    "FLAC": encoded("FLAC"),
    "OGG": encoded("OGG", "VORBIS", np.tile(SAMPLES, 8)),
    "Opus": encoded("OGG", "OPUS", np.tile(SAMPLES, 8)),
    "MP3": encoded("MP3", "MPEG_LAYER_III"),
    "MP3 with a tag": b"ID3\4\0\0\0\0\1\1" + bytes(129) + encoded("MP3", "MPEG_LAYER_III"),
}
# Where the size of the samples is, how it is written, and what it has besides them.
SIZES = {
    "WAV": (FILES["WAV"].index(b"data") + 4, "<I", 0),
    "RF64": (28, "<Q", 0),
    "W64": (FILES["W64"].index(b"data\xf3") + 16, "<Q", 24),
    "AIFF": (FILES["AIFF"].index(b"SSND") + 4, ">I", 8),
    "CAF": (FILES["CAF"].index(b"data") + 4, ">Q", 4),
    "AU": (8, ">I", 0),
}
MAGICS = [file[:at] for file in FILES.values() for at in (4, 12, 40, 80)]


def patched(name: str, size: int, field: tuple[int, str, int] | None = None) -> bytes:
    """With another size."""
    place, code, _ = field or SIZES[name]
    file = bytearray(FILES[name])
    struct.pack_into(code, file, place, size)
    return bytes(file)


@pytest.mark.parametrize("name", FILES)
def test_whole_files_are_read(name: str) -> None:
    file = io.BytesIO(FILES[name])
    assert whole(file) is file
    assert len(read_audio(FILES[name], RATE)) >= len(SAMPLES)


def page_ends(file: bytes) -> list[int]:
    """Where an Ogg file can be cut without a trace."""
    return [at for at in range(len(file)) if file[at : at + 4] == b"OggS"]


@settings(deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", FILES)
def test_files_cut_anywhere_are_refused(name: str, data: st.DataObject) -> None:
    file = FILES[name]
    at = data.draw(st.integers(0, len(file) - 1))
    if at in page_ends(file)[3:]:  # behind the three that have no audio
        read_audio(file[:at], RATE)
        return
    with pytest.raises(InputError) as caught:
        read_audio(file[:at], RATE)
    assert caught.value.code in ("audio-truncated", "audio-format", "audio-empty")
    if at >= 200 and not name.startswith("MP3 with") and name not in ("OGG", "Opus"):
        assert caught.value.code == "audio-truncated"


@pytest.mark.parametrize("part", [0.99, 0.5, 0.1])
@pytest.mark.parametrize("name", FILES)
def test_half_a_file_is_cut_short(name: str, part: float) -> None:
    file = FILES[name]
    with pytest.raises(InputError) as caught:
        read_audio(file[: int(part * len(file))], RATE)
    assert caught.value.code == "audio-truncated"


@pytest.mark.parametrize("name", SIZES)
def test_files_that_never_knew_their_length_are_read_to_their_end(name: str) -> None:
    _, code, besides = SIZES[name]
    largest = 2 ** (8 * struct.calcsize(code)) - 1
    for size in (0, besides, largest, largest // 2, *([0xFFFFFFFF - 36] if name == "WAV" else [])):
        assert np.array_equal(read_audio(patched(name, size), RATE), SAMPLES), size


def test_the_sizes_around_them_are_not_needed() -> None:
    """What Python's wave leaves, and what others have not filled in."""
    file = bytearray(patched("WAV", 0))
    for size in (0, 36):
        struct.pack_into("<I", file, 4, size)
        assert np.array_equal(read_audio(bytes(file), RATE), SAMPLES)
    rf64 = bytearray(FILES["RF64"])
    rf64[20:44] = bytes(24)
    assert np.array_equal(read_audio(bytes(rf64), RATE), SAMPLES)


@pytest.mark.parametrize("name", SIZES)
def test_streams_that_ended_at_once_are_empty(name: str) -> None:
    place, code, besides = SIZES[name]
    start = place + struct.calcsize(code) + (besides if name != "W64" else 0)
    if name in ("RF64", "AU"):
        start = len(FILES[name]) - 2 * len(SAMPLES)
    assert len(read_audio(patched(name, besides)[:start], RATE)) == 0


@pytest.mark.parametrize(
    "behind", [b"LIST\4\0\0\0abcd", b"LIST\3\0\0\0abc", b"id3 \0\0\0\0bext\0\0\0\0"]
)
def test_an_empty_wav_with_chunks_behind_is_empty(behind: bytes) -> None:
    file = encoded("WAV", samples=SAMPLES[:0]) + behind
    assert len(read_audio(file, RATE)) == 0


@pytest.mark.parametrize("missing", [1, 1000])
def test_odd_chunks_are_padded(missing: int) -> None:
    at = SIZES["WAV"][0] - 4
    file = FILES["WAV"][:at] + b"LIST\x03\0\0\0abc\0" + FILES["WAV"][at:]
    assert np.array_equal(read_audio(file, RATE), SAMPLES)
    with pytest.raises(DamageError, match=f"announces {missing} bytes more"):
        whole(io.BytesIO(file[:-missing]))


def test_chunks_without_end() -> None:
    file = b"RIFF\0\0\0\0WAVE" + b"JUNK\0\0\0\0" * 2_000_000
    with pytest.raises(DamageError, match="1000 chunks"):
        whole(io.BytesIO(file))


def test_more_than_a_header_can_announce(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(patched("WAV", 0xFFFFFFFF)[:44])
    with path.open("r+b") as file:
        file.truncate(5 << 30)  # takes no room on disk
    with pytest.raises(InputError, match="cannot say so many") as caught:
        read_audio(path, RATE)
    assert caught.value.code == "audio-truncated"


def test_ogg_without_an_end_and_with_something_behind() -> None:
    file = FILES["OGG"]
    last = page_ends(file)[-1]
    assert len(read_audio(file[:last], RATE)) > 8000  # a recorded broadcast
    assert len(read_audio(file + bytes(200), RATE)) == 8 * len(SAMPLES)
    for size in (1, 3, 4, 5, 26, 27, 30):
        with pytest.raises(DamageError, match="within a page"):
            whole(io.BytesIO(file[: last + size]))
    # The capture pattern within audio is no page.
    whole(io.BytesIO(file[: last + 60] + b"OggS\xff" + file[last + 65 :]))


def test_ogg_that_has_headers_only_is_cut() -> None:
    with pytest.raises(InputError, match="nothing in it") as caught:
        read_audio(FILES["OGG"][: page_ends(FILES["OGG"])[2]], RATE)
    assert caught.value.code == "audio-truncated"


def test_mp3_that_does_not_tell_is_read_as_far_as_it_goes() -> None:
    silent = FILES["MP3"].replace(b"Xing", b"    ", 1).replace(b"Info", b"    ", 1)
    assert silent != FILES["MP3"]
    assert 0 < len(read_audio(silent[: len(silent) // 2], RATE)) < len(SAMPLES)
    unknown = bytearray(FILES["MP3"])
    at = max(unknown.find(b"Xing"), unknown.find(b"Info"))
    unknown[at + 8 : at + 16] = bytes(8)  # what a program that writes to a pipe leaves
    assert len(read_audio(bytes(unknown[: len(unknown) // 2]), RATE)) > 0


@settings(deadline=None)
@given(st.sampled_from([b"", *MAGICS]), st.binary(max_size=200))
def test_any_bytes_are_whole_or_damaged(magic: bytes, data: bytes) -> None:
    file = io.BytesIO(magic + data)
    try:
        found = whole(file)
    except DamageError as error:
        assert str(error)
    else:
        found.seek(0)
        assert len(found.read()) == len(magic + data)


@settings(deadline=None)
@given(st.sampled_from(list(FILES)), st.data())
def test_any_changed_byte_is_whole_or_damaged(name: str, data: st.DataObject) -> None:
    file = bytearray(FILES[name])
    for _ in range(4):
        file[data.draw(st.integers(0, 120))] = data.draw(st.integers(0, 255))
    try:
        read_audio(bytes(file), RATE)
    except InputError as error:
        assert error.remedy


@settings(deadline=None)
@given(
    st.binary(max_size=60),
    st.integers(0, 70),
    st.binary(max_size=9),
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 30)), max_size=6),
)
def test_a_mended_file_is_the_file_with_the_mend(
    data: bytes, place: int, mend: bytes, reads: list[tuple[int, int]]
) -> None:
    expected = bytearray(data)
    expected[place : place + len(mend)] = mend[: max(0, len(data) - place)]
    for stream in (Mended(io.BytesIO(data), place, mend), io.BytesIO(expected)):
        assert stream.seek(0, io.SEEK_END) == len(data)
    mended = io.BufferedReader(Mended(io.BytesIO(data), place, mend))
    for at, count in reads:
        mended.seek(at)
        assert mended.read(count) == expected[at : at + count]
    raw = Mended(io.BytesIO(data), place, mend)
    for at, count in reads:
        assert raw.seek(at) == raw.tell() == at
        assert raw.read(count) == expected[at : at + count]
