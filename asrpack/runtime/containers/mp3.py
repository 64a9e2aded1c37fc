"""Tells whether an MP3 file is shorter than its first frame says.

Encoders that know the length once they are done leave it in a frame without audio, named Xing
where the bit rate varies and Info where it does not. Others do not tell.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from asrpack.runtime.containers.damage import DamageError

_HEAD = 4 + 32 + 16  # of a frame: header, the longest side information, the tag up to its bytes
_HAS_FRAMES, _HAS_BYTES = 1, 2


def check(stream: BinaryIO) -> None:
    """Anything but MP3 passes, and so does MP3 without such a frame.

    Raises:
        DamageError: it is shorter.
    """
    end = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        footer = 10 if head[5] & 0x10 else 0
        start = 10 + sum(part << 7 * place for place, part in enumerate(head[:5:-1])) + footer
    stream.seek(start)
    announced = _announced(stream.read(_HEAD))
    if announced > end - start:
        missing = announced - (end - start)
        raise DamageError(f"its first frame announces {missing} bytes more than there are")


def _announced(frame: bytes) -> int:
    """Bytes from this frame to the end; 0 where it does not say so."""
    # Eleven bits of sync, two of the version, two of the layer, 01 for the third.
    if len(frame) < _HEAD or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:
        return 0
    first_version, mono = frame[1] & 0x18 == 0x18, frame[3] >> 6 == 3
    side = (17 if mono else 32) if first_version else (9 if mono else 17)
    tag = frame[4 + side :]
    name, flags, first, second = struct.unpack(">4sIII", tag[:16])
    if name not in (b"Xing", b"Info") or not flags & _HAS_BYTES:
        return 0
    return int(second if flags & _HAS_FRAMES else first)
