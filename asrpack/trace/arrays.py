"""Matrices in raw dumps: ``.npy``, ``.npz`` and ``.safetensors``. Only headers are read at first.

Nothing in them is unpickled, and no array is read whose size is not that of its header.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from asrpack.graph.stored_matrices import StoredMatrix, matrix_shape

_MAX_HEADER = 1 << 16
_FLOATS = frozenset({"F64", "F32", "F16"})
_BRAIN_FLOAT = "BF16"


def read_npy(path: Path) -> Iterator[StoredMatrix]:
    """The one array of a file, if it is a matrix.

    Raises:
        ValueError, OSError: damaged, or an array of objects.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        yield from _matrix(path.stem, stream, size, partial(path.open, "rb"))


def read_npz(path: Path) -> Iterator[StoredMatrix]:
    """The matrices of an archive, each to be read before the next is taken.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: damaged, or arrays of objects.
    """
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            if item.filename.endswith(".npy"):
                name = item.filename.removesuffix(".npy")
                with archive.open(item) as stream:
                    yield from _matrix(name, stream, item.file_size, partial(archive.open, item))


def read_safetensors(path: Path) -> Iterator[StoredMatrix]:
    """The matrices of a file, each to be read before the next is taken.

    Raises:
        ValueError, OSError: damaged.
    """
    try:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                piece = file.get_slice(name)
                shape = matrix_shape(tuple(piece.get_shape()))
                if shape is not None and piece.get_dtype() in {*_FLOATS, _BRAIN_FLOAT, "I8", "U8"}:
                    yield StoredMatrix(name, shape, partial(_tensor, file, name, shape))
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _tensor(file: Any, name: str, shape: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(file.get_tensor(name)).astype(np.float32).reshape(shape)


def _matrix(name: str, stream: IO[bytes], size: int, opened: Any) -> Iterator[StoredMatrix]:
    head = stream.read(_MAX_HEADER)
    start, dims, kind, by_column = _header(head)
    if size != start + math.prod(dims) * kind.itemsize:
        raise ValueError(f"{name} has {size} bytes, and its header says another size")
    shape = matrix_shape(dims)
    if shape is not None and kind.kind in "fiu":
        yield StoredMatrix(name, shape, partial(_read, opened, start, size, shape, kind, by_column))


def _read(
    opened: Any,
    start: int,
    size: int,
    shape: tuple[int, int],
    kind: np.dtype[Any],
    by_column: bool,
) -> NDArray[np.float32]:
    with opened() as stream:
        data = stream.read(size)
    array = np.frombuffer(data, kind, offset=start)
    return array.reshape(shape, order="F" if by_column else "C").astype(np.float32)


def _header(head: bytes) -> tuple[int, tuple[int, ...], np.dtype[Any], bool]:
    """Where the numbers start, the dimensions, the type, and whether columns come first."""
    stream = io.BytesIO(head)
    version = npy.read_magic(stream)
    if version == (1, 0):
        dims, by_column, kind = npy.read_array_header_1_0(stream)
    elif version in ((2, 0), (3, 0)):
        dims, by_column, kind = npy.read_array_header_2_0(stream)
    else:
        raise ValueError(f"a dump of version {version}")
    if kind.hasobject:
        raise ValueError("it holds Python objects, which are not unpickled here")
    return stream.tell(), dims, kind, by_column
