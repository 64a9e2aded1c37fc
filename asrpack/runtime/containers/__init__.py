"""What a file's own structure says of its length: libsndfile quietly reads what is left of one."""

from __future__ import annotations

import io
from typing import BinaryIO

from asrpack.runtime.containers import chunks, mp3, ogg
from asrpack.runtime.containers.damage import DamageError
from asrpack.runtime.containers.mended import Mended

__all__ = ["DamageError", "whole"]


def whole(stream: BinaryIO) -> BinaryIO:
    """The file, with the size of its samples where its header leaves that open.

    Known are WAV, RF64, W64, AIFF, CAF and AU by their headers, Ogg by its last page, and MP3 with
    a Xing or Info frame. Others are returned as they are.

    Args:
        stream: seekable; left anywhere.

    Raises:
        DamageError: it ends before its audio does.
    """
    ogg.check(stream)
    mp3.check(stream)
    mend = chunks.mend(stream)
    return stream if mend is None else io.BufferedReader(Mended(stream, *mend))
