"""What graphs store, tensor by tensor, without loading a graph: for comparing large ones.

An ONNX file's initializers are found by walking its protobuf fields (``onnx.proto``: ``graph`` is
field 7 of ModelProto, ``initializer`` field 5 of GraphProto), and parsed one at a time.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from asrpack.errors import InputError
from asrpack.graph.pir.program import Buffer, Program
from asrpack.graph.weights import QUANTIZED

GRAPH, INITIALIZER = 7, 5
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_HALF = "_half"


@dataclass(frozen=True)
class Stored:
    """One tensor. It is read from its file each time that ``read`` is called."""

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@contextlib.contextmanager
def mapped(folder: Path) -> Iterator[dict[str, Buffer]]:
    """The files of a folder by name, mapped to memory: what is not looked at is not read."""
    with contextlib.ExitStack() as stack:
        files: dict[str, Buffer] = {}
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.stat().st_size:
                stream = stack.enter_context(path.open("rb"))
                content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
                files[path.name] = memoryview(content)
        yield files


def graph_format(files: Mapping[str, Buffer]) -> str | None:
    """``onnx`` or ``paddle``; None where there is no graph."""
    suffixes = {PurePosixPath(name).suffix for name in files}
    return "onnx" if ".onnx" in suffixes else "paddle" if ".pdiparams" in suffixes else None


def stored_tensors(files: Mapping[str, Buffer]) -> dict[str, Stored]:
    """All that the graphs store, by ``GRAPH/NAME``.

    A matrix of int8 codes by channels, or of halves for fp32 arithmetic, is given as the matrix
    that the graph multiplies by, under the name that it has in fp32.

    Args:
        files: contents by name: ``.onnx`` with what else their tensors lie in, or ``.pdiparams``
            and ``.json``.

    Raises:
        InputError: a graph cannot be read.
    """
    found: dict[str, Stored] = {}
    for name in sorted(files):
        path = PurePosixPath(name)
        if path.suffix == ".onnx":
            tensors = _onnx_tensors(files, name)
        elif path.suffix == ".pdiparams":
            tensors = _paddle_tensors(files, path)
        else:
            continue
        found |= {f"{path.stem}/{key}": item for key, item in _as_multiplied(tensors).items()}
    return found


def _as_multiplied(tensors: dict[str, Stored]) -> dict[str, Stored]:
    result = dict(tensors)
    for name, codes in tensors.items():
        base = name.removesuffix(QUANTIZED)
        scale = tensors.get(f"{base}_scale")
        zero = tensors.get(f"{base}_zero_point")
        if scale is not None and _by_channel(codes, scale) and _no_offset(zero):
            for part in (name, f"{base}_scale", f"{base}_zero_point"):
                result.pop(part, None)
            result[base] = Stored("int8", codes.shape, _product(codes, scale))
        elif name.endswith(_HALF) and codes.dtype == "float16":
            result[name.removesuffix(_HALF)] = result.pop(name)
    return result


def _by_channel(codes: Stored, scale: Stored) -> bool:
    counts = (1, codes.shape[-1]) if codes.shape else ()
    return codes.dtype == "int8" and len(codes.shape) == 2 and int(np.prod(scale.shape)) in counts


def _no_offset(zero: Stored | None) -> bool:
    return zero is None or not np.any(zero.read())


def _product(codes: Stored, scale: Stored) -> Callable[[], NDArray[Any]]:
    return lambda: codes.read().astype(np.float32) * scale.read().astype(np.float32).reshape(-1)


def _paddle_tensors(files: Mapping[str, Buffer], path: PurePosixPath) -> dict[str, Stored]:
    tree = files.get(path.with_suffix(".json").name)
    if tree is None:
        raise _unreadable(str(path), "its .json is not there")
    program = Program.parse(tree, files[path.name], Path(path.stem))
    return {
        name: Stored(str(array.dtype), array.shape, lambda array=array: array)  # type: ignore[misc]
        for name, array in program.parameters.items()
    }


def _onnx_tensors(files: Mapping[str, Buffer], name: str) -> dict[str, Stored]:
    found = {}
    try:
        view = memoryview(files[name])
        for graph in fields(view, GRAPH):
            for place in fields(graph, INITIALIZER):
                tensor = onnx.TensorProto.FromString(place)
                dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
                read = _reader(files, place)
                found[tensor.name] = Stored(str(dtype), tuple(tensor.dims), read)
    except (ValueError, IndexError, KeyError, DecodeError) as error:
        raise _unreadable(name, str(error)) from error
    return found


def _reader(files: Mapping[str, Buffer], place: memoryview) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        tensor = onnx.TensorProto.FromString(place)
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {item.key: item.value for item in tensor.external_data}
            start = int(where.get("offset", 0))
            lies_in = memoryview(files[where["location"]])
            size = int(where.get("length", len(lies_in) - start))
            tensor.raw_data = bytes(lies_in[start : start + size])
            tensor.data_location = onnx.TensorProto.DEFAULT
        return np.asarray(numpy_helper.to_array(tensor))

    return read


def fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The contents of each length-delimited field of this number."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _LENGTH:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("it ends in the middle of a field")
            if tag >> 3 == wanted:
                yield message[at : at + size]
            at += size
        else:
            raise ValueError(f"no protobuf: wire type {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no protobuf: a number of over 10 bytes")


def _unreadable(name: str, cause: str) -> InputError:
    return InputError(
        f"the graph cannot be read: {cause}",
        code="graph-unreadable",
        place=name,
        remedy="build again with `--force` and the stage that wrote it",
    )
