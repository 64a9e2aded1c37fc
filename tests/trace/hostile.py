"""Suspects that are no models, or try to be more than one. Each writes its file and returns it."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from tests.trace.models import graph_of, marked_matrices, save_graph, tensors_of

SUFFIXES = (".onnx", ".pdiparams", ".pdparams", ".npz", ".npy", ".safetensors")
TERABYTE = 1 << 40
FIRST = "first.w"

Write = Callable[[Path], Path]


class _Call:
    """Pickles as a call of ``os.system`` that leaves a file behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.folder / 'it-ran'}",)


def whole(folder: Path, suffix: str) -> bytes:
    """A true copy in a file that ends so."""
    path = folder / f"whole{suffix}"
    matrices = marked_matrices()
    match suffix:
        case ".onnx":
            save_graph(path, matrices)
        case ".pdparams":
            path.write_bytes(pickle.dumps(matrices, protocol=4))
        case ".npz":
            np.savez(path, **matrices)
        case ".npy":
            np.save(path, matrices[FIRST])
        case ".safetensors":
            save_file(matrices, path)
        case _:
            path.write_bytes(b"".join(map(_pdiparams, matrices.values())))
    data = path.read_bytes()
    path.unlink()
    return data


def _pdiparams(array: np.ndarray) -> bytes:
    """One tensor as Paddle's ``SerializeToStream`` has it."""
    dims = b"".join(b"\x10" + _varint(size) for size in array.shape)
    desc = b"\x08\x05" + dims  # FP32
    head = struct.pack("<IQII", 0, 0, 0, len(desc))
    return head + desc + np.ascontiguousarray(array).tobytes()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def noise(suffix: str) -> Write:
    return lambda folder: _file(folder, suffix, random.Random(1).randbytes(5000))


def empty(suffix: str) -> Write:
    return lambda folder: _file(folder, suffix, b"")


def cut(suffix: str) -> Write:
    def write(folder: Path) -> Path:
        data = whole(folder, suffix)
        return _file(folder, suffix, data[: len(data) * 2 // 3 | 1])

    return write


def sparse(suffix: str) -> Write:
    """A true copy's beginning, and a terabyte of nothing."""

    def write(folder: Path) -> Path:
        path = _file(folder, suffix, whole(folder, suffix)[:400])
        os.truncate(path, TERABYTE)
        return path

    return write


def sparse_neighbour(folder: Path) -> Path:
    inner = folder / "model"
    inner.mkdir()
    save_graph(inner / "a.onnx", marked_matrices())
    (inner / "data.bin").touch()
    os.truncate(inner / "data.bin", TERABYTE)
    return inner


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "suspect.onnx")
    return folder / "suspect.onnx"


def link_to_nowhere(folder: Path) -> Path:
    (folder / "suspect.onnx").symlink_to(folder / "suspect.onnx")
    return folder / "suspect.onnx"


def other_kind(folder: Path) -> Path:
    return _file(folder, ".txt", b"a model, honestly")


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def pickled_call(folder: Path) -> Path:
    return _file(folder, ".pdparams", pickle.dumps({FIRST: _Call(folder)}))


def pickled_call_in_npy(folder: Path) -> Path:
    path = folder / "suspect.npy"
    np.save(path, np.array([[_Call(folder)] * 64] * 160, dtype=object), allow_pickle=True)
    return path


def pickled_call_in_npz(folder: Path) -> Path:
    path = folder / "suspect.npz"
    np.savez(path, a=np.array([[_Call(folder)] * 64] * 160, dtype=object))
    return path


def pickle_of_no_names(folder: Path) -> Path:
    return _file(folder, ".pdparams", pickle.dumps([1, 2, 3]))


def pickle_of_a_huge_array(folder: Path) -> Path:
    """An instruction to allocate 8 EiB."""
    data = b"cnumpy\nndarray\n(I" + str(1 << 60).encode() + b"\ntR."
    return _file(folder, ".pdparams", data)


def pickle_without_end(folder: Path) -> Path:
    return _file(folder, ".pdparams", b"\x80\x04" + b"]" * 100_000)


def bytes_left_over(folder: Path) -> Path:
    """A raw dump whose header and length do not agree."""
    return _file(folder, ".npy", whole(folder, ".npy") + b"\0")


def header_of_more(folder: Path) -> Path:
    data = whole(folder, ".npy")
    return _file(folder, ".npy", data.replace(b"(64, 160)", b"(640,160)"))


def header_below_zero(folder: Path) -> Path:
    data = whole(folder, ".npy")
    return _file(folder, ".npy", data.replace(b"(64, 160)", b"(-64,160)"))


def archive_bomb(folder: Path) -> Path:
    """A member of 128 MiB of zeros that says it is a matrix of the original."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((64, 160), np.float32))
    path = folder / "suspect.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.npy", "w", force_zip64=True) as member,
    ):
        member.write(stream.getvalue())
        for _ in range(128):
            member.write(bytes(1 << 20))
    return path


def many_copies(folder: Path) -> Path:
    """Two thousand times the same matrix: 9 GB once they are read as numbers."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((160, 64), np.uint8))
    path = folder / "suspect.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4000):
            archive.writestr(f"{number}.npy", stream.getvalue())
    return path


def offsets_overlap(folder: Path) -> Path:
    data = whole(folder, ".safetensors")
    return _file(folder, ".safetensors", data.replace(b'"data_offsets":[', b'"data_offsets":[1', 1))


def header_without_end(folder: Path) -> Path:
    return _file(folder, ".safetensors", struct.pack("<Q", 1 << 62) + b"{}" * 100)


def onnx_of(change: Callable[[onnx.ModelProto], None]) -> Write:
    """A true copy, changed."""

    def write(folder: Path) -> Path:
        model = graph_of(tensors_of(marked_matrices()))
        change(model)
        return _file(folder, ".onnx", model.SerializeToString())

    return write


def odd_bytes(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data += b"\0"


def no_numbers(model: onnx.ModelProto) -> None:
    """Dimensions of the original's, and no numbers."""
    model.graph.initializer[0].ClearField("raw_data")


def external(**entries: str) -> Callable[[onnx.ModelProto], None]:
    """The first matrix lies in a file of its own."""

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)

    return change


def external_sparse(folder: Path) -> Path:
    """No length is given, so a reader might take the whole terabyte."""
    (folder / "weights").touch()
    os.truncate(folder / "weights", TERABYTE)
    return onnx_of(external(location="weights"))(folder)


def blocks_of_nothing(model: onnx.ModelProto) -> None:
    """Codes in blocks that have no size, of the shape of the first matrix."""
    graph = model.graph
    graph.node[0].CopyFrom(
        helper.make_node(
            "MatMulNBits", ["x", FIRST, "second.w"], ["y0"], domain="com.microsoft",
            N=160, K=64, bits=4, block_size=0,
        )
    )  # fmt: skip


def axis_of_nowhere(model: onnx.ModelProto) -> None:
    """Steps for an axis that the codes do not have the length of."""
    graph = model.graph
    codes = numpy_helper.from_array(np.ones((64, 160), np.int8), FIRST)
    graph.initializer[0].CopyFrom(codes)
    steps = numpy_helper.from_array(np.ones(7, np.float32), "steps")
    graph.initializer.append(steps)
    graph.node.insert(0, helper.make_node("DequantizeLinear", [FIRST, "steps"], ["floats"], axis=1))


def _file(folder: Path, suffix: str, data: bytes) -> Path:
    path = folder / f"suspect{suffix}"
    path.write_bytes(data)
    return path
