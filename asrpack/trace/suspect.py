"""Reads what a suspect's file or folder holds of matrices, whatever wrote it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from asrpack.bundle.envelope import ENVELOPE_FILE
from asrpack.bundle.keys import recipient_private
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.secrets import SecretSource
from asrpack.errors import InputError, UsageError
from asrpack.frontends.onnx_file import external_files, parse_onnx
from asrpack.frontends.pdparams import read_state
from asrpack.graph.pir.program import read_tensors
from asrpack.graph.stored_matrices import StoredMatrix, matrix_shape, stored_matrices
from asrpack.pipeline.digest import digest_path
from asrpack.trace.arrays import read_npy, read_npz, read_safetensors

# What is read whole may have so much for each of the original's numbers, and as much besides.
_BYTES_A_NUMBER = 32
_BESIDES = 256 << 20
# Copies of the original's matrices that a suspect may hold; more is no model.
_COPIES = 4

Shape = tuple[int, int]
Reader = Callable[[], Iterator[StoredMatrix]]


@dataclass(frozen=True)
class Suspect:
    """What was read.

    Attributes:
        place: the file or folder, as given.
        kind: what it is, in words.
        digest: SHA-256 (hex) of the file, or of all names and contents of the folder.
        matrices: float32, by ``FILE/NAME``, those alone that have a shape of the original's.
        stored: how many matrices there are in all.
        not_finite: how many numbers of ``matrices`` are NaN or infinite.
        commitment: of the mark, as a bundle's metadata says; None elsewhere.
    """

    place: str
    kind: str
    digest: str
    matrices: Mapping[str, NDArray[np.float32]]
    stored: int
    not_finite: int
    commitment: str | None = None


def read_suspect(
    path: Path, shapes: Collection[Shape], identity: SecretSource | None = None
) -> Suspect:
    """Reads a bundle, an ``.onnx`` file, Paddle's parameters, a raw dump, or a folder of these.

    Args:
        shapes: of the original's matrices; a suspect's of other shapes are not read.
        identity: a recipient's private key, for a bundle.

    Raises:
        InputError: there is nothing that can be read, or it is damaged, unsafe or too large.
        IntegrityError, ErrorGroup, KeyFileError: the bundle does not open.
    """
    wanted = {*shapes, *((columns, rows) for rows, columns in shapes)}
    limit = _BESIDES + _BYTES_A_NUMBER * sum(rows * columns for rows, columns in shapes)
    if not path.exists():
        raise InputError(
            "there is no such file or folder",
            code="suspect-missing",
            place=str(path),
            remedy="give a bundle, an ONNX file, Paddle's parameters, a raw dump or their folder",
        )
    commitment = None
    readers: dict[str, Reader] = {}
    kind = ""
    if (path / ENVELOPE_FILE).is_file():
        kind = "bundle"
        readers, commitment = _bundle(path, identity)
    elif path.is_dir():
        _check_size(path, limit)
        readers = {
            item.name: partial(_READERS[item.suffix][1], item, limit)
            for item in sorted(path.iterdir())
            if item.suffix in _READERS and item.is_file()
        }
        kind = f"folder of {len(readers)} model files"
    elif path.is_file() and path.suffix in _READERS:
        _check_size(path, limit)
        kind, read = _READERS[path.suffix]
        readers = {path.name: partial(read, path, limit)}
    if not readers:
        raise InputError(
            "nothing in it can be read",
            code="suspect-kind",
            place=str(path),
            remedy=f"give a bundle, or files that end in one of: {', '.join(_READERS)}",
        )
    matrices: dict[str, NDArray[np.float32]] = {}
    stored = 0
    budget = _Budget(_COPIES * limit // _BYTES_A_NUMBER)
    for file, reader in readers.items():
        with _damage(path, file):
            for item in reader():
                stored += 1
                if item.shape in wanted:
                    budget.take(item.shape)
                    name = f"{Path(file).stem}/{item.name}"
                    with np.errstate(all="ignore"):  # beyond fp32 is infinite
                        matrices[_new(name, matrices)] = item.read()
    return Suspect(
        str(path),
        kind,
        digest_path(path),
        matrices,
        stored,
        sum(int(np.sum(~np.isfinite(item))) for item in matrices.values()),
        commitment,
    )


def _check_size(path: Path, limit: int) -> None:
    """All of it is hashed, what is passed over too."""
    files = path.rglob("*") if path.is_dir() else [path]
    size = sum(item.stat().st_size for item in files if item.is_file())
    if size > _COPIES * limit:
        raise InputError(
            f"it has {size >> 20} MiB, many times what this original's copies have",
            code="suspect-too-large",
            place=str(path),
            remedy="give the file or the folder that holds the model, and nothing else",
        )


class _Budget:
    """So many numbers may be read."""

    def __init__(self, numbers: int) -> None:
        self._left = numbers

    def take(self, shape: Shape) -> None:
        self._left -= shape[0] * shape[1]
        if self._left < 0:
            raise ValueError("it holds many times the original's matrices")


@contextmanager
def _damage(path: Path, file: str) -> Iterator[None]:
    """Makes one kind of error of the many that a damaged file raises."""
    try:
        yield
    except _DAMAGES as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"its matrices cannot be read: {cause}",
            code="suspect-damaged",
            place=str(path) if path.name == file else f"{path}/{file}",
            remedy="get the file again, or give the suspect's other files without it",
        ) from error


def _bundle(path: Path, identity: SecretSource | None) -> tuple[dict[str, Reader], str | None]:
    if identity is None:
        raise UsageError(
            "the bundle is encrypted and no private key was given",
            code="identity-missing",
            place=str(path),
            remedy="give a recipient's with --identity: a path, env:NAME or cmd:COMMAND",
        )
    opened = open_sealed(path, recipient_private(identity.read(), str(identity)))
    readers: dict[str, Reader] = {}
    for name, data in opened.files.items():
        if name.endswith(".onnx"):
            readers[name] = partial(_onnx_bytes, bytes(data), path / name)
        elif name.endswith(".pdiparams"):
            readers[name] = partial(_numbered, bytes(data))
    return readers, opened.metadata.watermark


def _onnx_bytes(data: bytes, path: Path) -> Iterator[StoredMatrix]:
    return stored_matrices(parse_onnx(data, path), None)


def _onnx(path: Path, limit: int) -> Iterator[StoredMatrix]:
    model = parse_onnx(_bounded(path, limit).read_bytes(), path)
    for file in external_files(path, model):
        _bounded(file, limit)
    return stored_matrices(model, path.parent)


def _pdparams(path: Path, limit: int) -> Iterator[StoredMatrix]:
    for name, value in read_state(_bounded(path, limit)).items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            shape = matrix_shape(value.shape)
            if shape is not None:
                yield StoredMatrix(name, shape, partial(_floats, value, shape))


def _pdiparams(path: Path, limit: int) -> Iterator[StoredMatrix]:
    return _numbered(_bounded(path, limit).read_bytes())


def _numbered(data: bytes) -> Iterator[StoredMatrix]:
    for number, array in enumerate(read_tensors(data)):
        shape = matrix_shape(array.shape)
        if shape is not None:
            yield StoredMatrix(f"tensor {number}", shape, partial(_floats, array, shape))


def _floats(array: NDArray[Any], shape: Shape) -> NDArray[np.float32]:
    if array.dtype == np.uint16:  # how Paddle stores bfloat16
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32).reshape(shape)


def _bounded(path: Path, limit: int) -> Path:
    if (size := path.stat().st_size) > limit:
        raise ValueError(
            f"it has {size >> 20} MiB; no copy of this original has over {limit >> 20}"
        )
    return path


def _dump(read: Callable[[Path], Iterator[StoredMatrix]]) -> Callable[..., Iterator[StoredMatrix]]:
    """Of what is read piece by piece: no bound of its own."""
    return lambda path, limit: read(path)


_READERS: Mapping[str, tuple[str, Callable[[Path, int], Iterator[StoredMatrix]]]] = {
    ".onnx": ("ONNX file", _onnx),
    ".pdiparams": ("parameters of Paddle Inference", _pdiparams),
    ".pdparams": ("parameters of Paddle", _pdparams),
    ".npz": ("dump of NumPy", _dump(read_npz)),
    ".npy": ("dump of NumPy", _dump(read_npy)),
    ".safetensors": ("dump of safetensors", _dump(read_safetensors)),
}
_DAMAGES = (
    ValueError, OSError, LookupError, TypeError, ArithmeticError, MemoryError, EOFError,
    RuntimeError, struct.error, zlib.error, zipfile.BadZipFile, onnx.checker.ValidationError,
)  # fmt: skip


def _new(name: str, taken: Collection[str]) -> str:
    """The name, or one with a number where a file has it twice."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name} ({number})", number + 1
    return found
