"""Files in memory: sealed, gone afterwards; pipes that use up what they give."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest

from asrpack.bundle.plaintext import Plaintext
from asrpack.runtime.memory_files import file_in_memory, pipe_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files in memory are Linux's")
DATA = bytes(range(256)) * 20_000


def contents() -> list[bytes | Plaintext]:
    plaintext = Plaintext(len(DATA))
    plaintext.view[:] = DATA
    return [DATA, plaintext]


@pytest.mark.parametrize("content", contents(), ids=["bytes", "plaintext"])
def test_a_file_that_nobody_can_change(content: bytes | Plaintext) -> None:
    with file_in_memory(content, "graph") as path:
        assert path.read_bytes() == DATA
        for flags in (os.O_WRONLY, os.O_RDWR):
            descriptor = os.open(path, flags)
            try:
                with pytest.raises(PermissionError):
                    os.write(descriptor, b"changed")
                with pytest.raises(PermissionError):
                    os.ftruncate(descriptor, 0)
            finally:
                os.close(descriptor)
    assert not path.exists()


@pytest.mark.parametrize("content", contents(), ids=["bytes", "plaintext"])
def test_a_pipe(content: bytes | Plaintext) -> None:
    with pipe_of(content) as path:
        assert path.read_bytes() == DATA


@pytest.mark.parametrize("count", [0, 1, 3 << 20])
def test_a_reader_that_gives_up(count: int) -> None:
    """Neither it nor the writer hangs, and no descriptor is left."""
    gc.collect()  # others' garbage may hold some
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pipe_of(DATA) as path, path.open("rb", buffering=0) as stream:
        left = count
        while left:
            left -= len(stream.read(left))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
