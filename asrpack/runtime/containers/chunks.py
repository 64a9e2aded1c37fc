"""The size of the samples in the headers of WAV, RF64, W64, AIFF, CAF and AU."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

from asrpack.runtime.containers.damage import DamageError

# What programs that write to a pipe leave in the header, as they cannot go back to mend it; or 0.
_UNKNOWN_SIZES = frozenset(
    {
        *(0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x80000000, 0x7FFFFFFF - 36, 0x7FFFF000),
        *(0x7F000000, 2**63 - 1, 2**64 - 1),
    }
)
# Files have a dozen; more would only take time to walk over.
_MOST_CHUNKS = 1000


@dataclass(frozen=True)
class _Size:
    """What a header says.

    Attributes:
        place: of the size in the file.
        code: of :mod:`struct`, how it is written there.
        value: what is there.
        besides: bytes that it counts and that are not samples.
        start: of the samples.
    """

    place: int
    code: str
    value: int
    besides: int
    start: int


@dataclass(frozen=True)
class _Form:
    """How chunks are written: a name, a size, and so many bytes.

    Attributes:
        code: of :mod:`struct`, of the size.
        samples: the name of the chunk that has them.
        first: where the first chunk is.
        padding: chunks start at multiples of it.
        prefix: bytes in the chunk before the samples.
        counts_itself: whether the size counts name and size.
    """

    code: str
    samples: bytes
    first: int = 12
    padding: int = 2
    prefix: int = 0
    counts_itself: bool = False

    @property
    def header(self) -> int:
        """Bytes of name and size."""
        return len(self.samples) + struct.calcsize(self.code)

    def following(self, at: int, size: int) -> int:
        """Where the next chunk is."""
        end = at + (max(size, self.header) if self.counts_itself else self.header + size)
        return end + -end % self.padding


_AIFF = _Form(">I", b"SSND", prefix=8)
_FORMS = {
    (b"RIFF", b"WAVE"): _Form("<I", b"data"),
    (b"RIFX", b"WAVE"): _Form(">I", b"data"),
    (b"RF64", b"WAVE"): _Form("<I", b"data"),
    (b"FORM", b"AIFF"): _AIFF,
    (b"FORM", b"AIFC"): _AIFF,
}
_CAF = _Form(">Q", b"data", first=8, padding=1, prefix=4)
_W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA = b"data" + bytes.fromhex("f3acd3118cd100c04f8edb8a")
_W64 = _Form("<Q", _W64_DATA, first=40, padding=8, counts_itself=True)


def mend(stream: BinaryIO) -> tuple[int, bytes] | None:
    """What to write where in the header, so that it announces all that follows.

    Args:
        stream: seekable; left anywhere.

    Returns:
        None where the header knows the size of the samples, and for all other files.

    Raises:
        DamageError: there are less samples than it says, or more than it could say.
    """
    end = stream.seek(0, io.SEEK_END)
    head = _read(stream, 0, 40)
    form = _form_of(head)
    if form is not None:
        size = _walk(stream, form, end, rf64=head[:4] == b"RF64")
    elif head[:4] in (b".snd", b"dns.") and len(head) >= 12:
        code = ">I" if head[:1] == b"." else "<I"
        size = _Size(8, code, _number(code, head[8:12]), 0, _number(code, head[4:8]))
    else:
        return None
    present = end - size.start
    streamed = size.value in _UNKNOWN_SIZES or (
        size.value <= size.besides
        and present > 0
        and not (form is not None and _are_chunks(stream, form, size.start, end))
    )
    if not streamed:
        if (missing := size.value - size.besides - present) > 0:
            raise DamageError(f"its header announces {missing} bytes more than there are")
        return None
    try:
        return size.place, struct.pack(size.code, max(0, present) + size.besides)
    except struct.error:
        raise DamageError(f"{present} bytes follow a header that cannot say so many") from None


def _form_of(head: bytes) -> _Form | None:
    if head[:4] == b"caff":
        return _CAF
    return _W64 if head[:16] == _W64_RIFF else _FORMS.get((head[:4], head[8:12]))


def _walk(stream: BinaryIO, form: _Form, end: int, *, rf64: bool) -> _Size:
    """Over the chunks, to that of the samples."""
    at, width = form.first, len(form.samples)
    large: tuple[int, int] | None = None  # place and value of a size of 64 bits
    for _ in range(_MOST_CHUNKS):
        chunk = _read(stream, at, form.header) if at < end else b""
        if len(chunk) < form.header:
            lacking = max(1, at + form.header - end)
            raise DamageError(f"its header announces {lacking} bytes more than there are")
        size = _number(form.code, chunk[width:])
        if chunk[:width] == form.samples:
            start = at + form.header + form.prefix
            besides = form.prefix + (form.header if form.counts_itself else 0)
            if large is not None:
                return _Size(large[0], "<Q", large[1], besides, start)
            return _Size(at + width, form.code, size, besides, start)
        if rf64 and chunk[:width] == b"ds64":
            place = at + form.header + 8
            if len(field := _read(stream, place, 8)) == 8:
                large = place, _number("<Q", field)
        at = form.following(at, size)
    raise DamageError(f"{_MOST_CHUNKS} chunks come before its audio")


def _are_chunks(stream: BinaryIO, form: _Form, at: int, end: int) -> bool:
    """Whether nothing but chunks with names of letters is between two places."""
    for _ in range(_MOST_CHUNKS):
        if end <= at < end + form.padding:
            return True
        chunk = _read(stream, at, form.header) if at < end else b""
        if len(chunk) < form.header or not all(0x20 <= byte < 0x7F for byte in chunk[:4]):
            return False
        at = form.following(at, _number(form.code, chunk[len(form.samples) :]))
    return False


def _read(stream: BinaryIO, at: int, count: int) -> bytes:
    stream.seek(at)
    return stream.read(count)


def _number(code: str, data: bytes) -> int:
    (number,) = struct.unpack(code, data)
    return int(number)
