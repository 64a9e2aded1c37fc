"""Memory for what was decrypted."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from asrpack.bundle.plaintext import PIECE, Plaintext, pieces
from asrpack.errors import ToolchainError


def filled(data: bytes) -> Plaintext:
    content = Plaintext(len(data))
    content.view[:] = data
    return content


def test_equal_to_bytes() -> None:
    content = filled(b"weights")
    assert content == b"weights" and content == filled(b"weights")
    assert content != b"weight" and content != filled(b"weighty")
    assert bytes(content) == b"weights" and len(content) == 7 and b"eight" in content


def test_of_a_file(tmp_path: Path) -> None:
    for data in (b"", b"weights" * 1000):
        (tmp_path / "file").write_bytes(data)
        assert Plaintext.of_file(tmp_path / "file") == data


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 5])
def test_drained_once(size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    content = filled(data)
    assert b"".join(bytes(piece) for piece in pieces(content)) == data
    with pytest.raises(ValueError, match="used up"):
        _ = content.view
    with pytest.raises(ValueError, match="used up"):
        next(content.drain())
    assert b"0" not in content and len(content) == size


def _flags(content: Plaintext) -> set[str]:
    address = ctypes.addressof(ctypes.c_char.from_buffer(content.view))
    found: set[str] = set()
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split(" ", 1)[0]
        if "-" in head and not head.endswith(":"):
            start, end = (int(part, 16) for part in head.split("-"))
            here = start <= address < end
        elif here and line.startswith("VmFlags:"):
            found = set(line.split()[1:])
    return found


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux offers")
def test_left_out_of_core_dumps() -> None:
    assert "dd" in _flags(filled(b"weights"))  # proc(5): do not include area into core dump


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux offers")
def test_memory_is_given_back_while_it_is_drained() -> None:
    content = Plaintext(64 << 20)
    content.view[:] = bytes(64 << 20)
    before = _resident()
    for number, _ in enumerate(content.drain()):
        if number == 12:
            assert before - _resident() > 40 << 20


def test_more_than_there_is() -> None:
    with pytest.raises(ToolchainError) as error:
        Plaintext(1 << 62)
    assert error.value.code == "memory" and error.value.remedy
