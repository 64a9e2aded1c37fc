"""The walk over a WAV file's chunks."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrpack.runtime.riff import missing_bytes


def wav(data: bytes, *, announced: int | None = None, before: bytes = b"") -> io.BytesIO:
    size = len(data) if announced is None else announced
    return io.BytesIO(b"RIFF\0\0\0\0WAVE" + before + b"data" + size.to_bytes(4, "little") + data)


@pytest.mark.parametrize("missing", [0, 1, 1000])
def test_counts_what_lacks(missing: int) -> None:
    assert missing_bytes(wav(b"x" * 10, announced=10 + missing)) == missing


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x80000000])
def test_streamed_files_have_no_length(size: int) -> None:
    assert missing_bytes(wav(b"x" * 10, announced=size)) == 0


def test_odd_chunks_are_padded() -> None:
    assert missing_bytes(wav(b"x" * 10, before=b"LIST\x03\0\0\0abc\0")) == 0


def test_a_chunk_past_the_end_is_a_cut() -> None:
    assert missing_bytes(io.BytesIO(b"RIFF\0\0\0\0WAVEfmt \xff\0\0\0")) > 0


@given(st.binary(max_size=64))
def test_anything_else_is_left_to_the_decoder(data: bytes) -> None:
    if data[:4] != b"RIFF":
        assert missing_bytes(io.BytesIO(data)) == 0


@given(st.binary(max_size=64))
def test_any_chunks_end(data: bytes) -> None:
    assert missing_bytes(io.BytesIO(b"RIFF\0\0\0\0WAVE" + data)) >= 0
