"""The beam of a CTC prefix beam search, compiled: prefix_beam.c through ctypes.

A library for each machine lies beside this file (see ``hatch_build.py``). Where there is none
that loads, :class:`asrpack.runtime.decoding.python_beam.PythonBeam` gives the same results.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
import weakref
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_int, c_int32, c_int64, c_void_p
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.decoding.context_graph import ContextGraph

_SOURCE = Path(__file__).with_name("prefix_beam.c")
_ARRAYS = ("first", "arc_units", "arc_targets", "fail", "award", "pending")
_SIGNATURES = {
    "prefix_beam_new": (c_void_p, [c_int32, c_int32, c_void_p]),
    "prefix_beam_free": (None, [c_void_p]),
    "prefix_beam_advance": (c_int, [c_void_p, c_void_p, c_int64, c_int32]),
    "prefix_beam_count": (c_int32, [c_void_p]),
    "prefix_beam_entry": (c_int32, [c_void_p, c_int32, POINTER(c_double), POINTER(c_double)]),
    "prefix_beam_units": (None, [c_void_p, c_int32, c_void_p, c_int32]),
    "prefix_beam_source": (c_char_p, []),
}


def library_path() -> Path:
    """Where the library for this machine belongs."""
    return _SOURCE.with_name(f"prefix_beam-{platform.machine()}.so")


@functools.cache
def native_library() -> ctypes.CDLL | None:
    """The compiled search; None where it is missing, of another source, or does not load."""
    try:
        library = ctypes.CDLL(str(library_path()))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        digest = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()
    except (OSError, AttributeError):
        return None
    return library if library.prefix_beam_source() == digest.encode() else None


class _Context(Structure):
    _fields_ = [(name, c_void_p) for name in _ARRAYS]


class NativeBeam:
    """The likeliest prefixes of what was searched so far; as ``PythonBeam``.

    Raises:
        MemoryError: there is no room.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        beam_size: int,
        blank_id: int,
        hotwords: ContextGraph | None,
    ) -> None:
        self._library = library
        self._hotwords = hotwords  # the library reads its arrays
        self._context = None
        if hotwords is not None:
            arrays = (getattr(hotwords, name) for name in _ARRAYS)
            self._context = _Context(*(array.ctypes.data for array in arrays))
        self._search = library.prefix_beam_new(
            beam_size, blank_id, None if self._context is None else byref(self._context)
        )
        if not self._search:
            raise MemoryError
        weakref.finalize(self, library.prefix_beam_free, self._search)

    def advance(self, ctc_log_probs: NDArray[np.float32]) -> None:
        """Searches on over shape (T, V)."""
        frames = np.ascontiguousarray(ctc_log_probs)
        if not self._library.prefix_beam_advance(self._search, frames.ctypes.data, *frames.shape):
            raise MemoryError

    def __len__(self) -> int:
        return int(self._library.prefix_beam_count(self._search))

    def entry(self, place: int) -> tuple[tuple[int, ...], float, float]:
        """Units, log-probability and the boost of complete hotwords."""
        score, kept = c_double(), c_double()
        length = self._library.prefix_beam_entry(self._search, place, byref(score), byref(kept))
        units = np.empty(length, np.int32)
        self._library.prefix_beam_units(self._search, place, units.ctypes.data, length)
        return tuple(units.tolist()), score.value, kept.value
