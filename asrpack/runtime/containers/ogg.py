"""Tells whether an Ogg file ends within a page (RFC 3533)."""

from __future__ import annotations

import io
from typing import BinaryIO

from asrpack.runtime.containers.damage import DamageError

_CAPTURE = b"OggS"
_HEADER = 27  # bytes before the sizes of the segments
_LONGEST = _HEADER + 255 + 255 * 255


def check(stream: BinaryIO) -> None:
    """Looks at the last page; anything but Ogg passes.

    One that is whole need not be flagged as the stream's end: who records a broadcast, or is
    stopped, has no such page.

    Raises:
        DamageError: it is not whole.
    """
    stream.seek(0)
    if stream.read(4) != _CAPTURE:
        return
    end = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, end - _LONGEST))
    tail = stream.read(_LONGEST)
    at = tail.rfind(_CAPTURE)
    # The same four bytes may be audio; a page goes on with version 0 and three flags.
    while at >= 0 and not _begins_page(tail[at : at + 6]):
        at = tail.rfind(_CAPTURE, 0, at)
    if at < 0:
        return
    page = tail[at:]
    missing = _size(page) - len(page)
    rest = page[_size(page) :]
    if missing > 0 or (rest and _CAPTURE.startswith(rest)):
        raise DamageError("it ends within a page of Ogg")


def _begins_page(head: bytes) -> bool:
    return head[4:5] in (b"", b"\0") and (len(head) < 6 or head[5] < 8)


def _size(page: bytes) -> int:
    """In bytes; of a page without its whole header, more than there are."""
    if len(page) < _HEADER or len(page) < _HEADER + page[_HEADER - 1]:
        return len(page) + 1
    segments = page[_HEADER : _HEADER + page[_HEADER - 1]]
    return _HEADER + len(segments) + sum(segments)
