"""Reading and writing graphs: the same graph gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir

from asrpack.errors import InputError


def load_graph(path: Path) -> ir.Model:
    """Reads an ``.onnx`` file.

    Raises:
        InputError: missing, or not a graph.
    """
    try:
        return ir.load(path)
    except Exception as error:  # onnx and protobuf raise classes of their own
        raise InputError(
            f"the graph cannot be read: {str(error).splitlines()[0]}",
            code="onnx-unreadable",
            place=str(path),
            remedy="build again with `--force` and the stage that wrote it",
        ) from error


def save_graph(model: ir.Model, path: Path) -> None:
    """Writes a graph."""
    save_proto(ir.to_proto(model), path)


def save_proto(model: onnx.ModelProto, path: Path) -> None:
    """Writes a graph as :func:`serialize` has it."""
    path.write_bytes(serialize(model))


def serialize(model: onnx.ModelProto) -> bytes:
    """A graph's bytes, without its intermediate shapes: runtimes infer them again."""
    del model.graph.value_info[:]
    return bytes(model.SerializeToString(deterministic=True))
