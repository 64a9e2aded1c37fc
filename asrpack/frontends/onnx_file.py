"""Opens somebody else's ONNX file, and refuses what cannot be built or run, each fault by name."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from asrpack.errors import InputError
from asrpack.frontends.other_kinds import file_kind

# What ONNX Runtime itself has: the standard, and its own contributed operators.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_NUMPY = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.BOOL: "bool",
}


@dataclass(frozen=True)
class Port:
    """An input or output of a graph; a free axis is None."""

    name: str
    dtype: str
    dims: tuple[int | None, ...]
    is_float: bool
    is_integer: bool


@dataclass(frozen=True)
class OnnxFile:
    """A graph that was looked at but not run.

    Attributes:
        model: without the contents of external files.
        external: further files that hold weights.
        metadata: the file's own, by key.
    """

    path: Path
    model: onnx.ModelProto
    external: tuple[Path, ...]
    inputs: dict[str, Port]
    outputs: dict[str, Port]
    metadata: dict[str, str]

    @property
    def is_half(self) -> bool:
        """Whether some of it computes in half precision."""
        return any(item.data_type == TensorProto.FLOAT16 for item in self.model.graph.initializer)


def open_onnx(path: Path) -> OnnxFile:
    """Reads a graph.

    Raises:
        InputError: not ONNX, cut short, its external data missing or outside its folder, or made
            of operators that ONNX Runtime does not have.
    """
    if not path.is_file():
        raise InputError(
            "there is no such file",
            code="onnx-missing",
            place=str(path),
            remedy="set model.path to the .onnx file",
        )
    model = parse_onnx(path.read_bytes(), path)
    external = external_files(path, model)
    _check_operators(path, model)
    graph = model.graph
    constants = {item.name for item in graph.initializer}
    return OnnxFile(
        path,
        model,
        external,
        {item.name: _port(item) for item in graph.input if item.name not in constants},
        {item.name: _port(item) for item in graph.output},
        {item.key: item.value for item in model.metadata_props},
    )


def open_original(path: Path) -> Any:
    """An ONNX Runtime session on the file as it is.

    Raises:
        InputError: this ONNX Runtime cannot run it.
    """
    # onnxruntime reports usage over the network unless told not to before the import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no public base class
        lines = str(error).splitlines() or [type(error).__name__]
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} cannot load the graph: {lines[0]}",
            code="onnx-not-runnable",
            place=str(path),
            remedy="export the model again for the runtime that ships: ONNX opset "
            f"{onnx.defs.onnx_opset_version()} or lower, IR version {onnx.IR_VERSION} or lower",
        ) from error


def parse_onnx(data: bytes, path: Path) -> onnx.ModelProto:
    """A graph from its bytes, without external data.

    Args:
        path: what an error calls it.

    Raises:
        InputError: not ONNX, or cut short.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        whole = bool(model.graph.node) and bool(model.graph.output)
    except Exception:  # protobuf's own class
        whole = False
    if whole and model.ir_version:
        return model
    # An ONNX file starts with field 1, its IR version.
    if data[:1] == b"\x08" and len(data) > 1 and data[1] < 64:
        raise InputError(
            f"the ONNX file is cut short or damaged ({len(data)} bytes)",
            code="onnx-truncated",
            place=str(path),
            remedy="copy it again, and compare its size with the original's",
        )
    kind = file_kind(path, data[:64])
    raise InputError(
        "this is not an ONNX file" + (f"; it looks like {kind}" if kind else ""),
        code="not-onnx",
        place=str(path),
        remedy="export the model to ONNX with its own toolkit, and give that file",
    )


def external_files(path: Path, model: onnx.ModelProto) -> tuple[Path, ...]:
    """The further files that hold a graph's weights.

    Raises:
        InputError: one is missing, cut short or outside the graph's folder.
    """
    folder = path.parent.resolve()
    found: dict[Path, None] = {}
    for tensor in stored_tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {item.key: item.value for item in tensor.external_data}
        location = entries.get("location", "")
        file = (path.parent / location).resolve()
        if Path(location).is_absolute() or not file.is_relative_to(folder):
            raise InputError(
                f"the weight {tensor.name!r} lies outside the model's folder: {location!r}",
                code="onnx-external-outside",
                place=str(path),
                remedy="save the model with its external data beside it",
            )
        if not file.is_file():
            raise InputError(
                f"the external data file of the weight {tensor.name!r} is missing: {location!r}",
                code="onnx-external-missing",
                place=str(path),
                remedy=f"copy {location} beside the .onnx file",
            )
        try:
            end = int(entries.get("offset") or 0) + int(entries.get("length") or 0)
        except ValueError:
            raise InputError(
                f"the place of the weight {tensor.name!r} in its file is no number",
                code="onnx-external-place",
                place=str(path),
                remedy="export the model again",
            ) from None
        if file.stat().st_size < end:
            raise InputError(
                f"the external data file {location!r} is cut short: {file.stat().st_size} bytes, "
                f"and the weight {tensor.name!r} ends at {end}",
                code="onnx-external-truncated",
                place=str(path),
                remedy="copy it again, and compare its size with the original's",
            )
        found[file] = None
    return tuple(found)


def stored_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Initializers and tensors of attributes, those of graphs within the graph too."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from stored_tensors(attribute.g)


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    own = {(item.domain, item.name) for item in model.functions}
    foreign = sorted(
        {
            f"{node.domain}::{node.op_type}"
            for node in model.graph.node
            if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own
        }
    )
    if foreign:
        raise InputError(
            f"the graph has operators of its own, which ONNX Runtime lacks: {', '.join(foreign)}",
            code="onnx-custom-operators",
            place=str(path),
            remedy="export the model with standard ONNX operators",
        )
    newest, newest_ir = onnx.defs.onnx_opset_version(), onnx.IR_VERSION
    opset = max((item.version for item in model.opset_import if item.domain == ""), default=1)
    if opset > newest or model.ir_version > newest_ir:
        raise InputError(
            f"the graph is ONNX opset {opset}, IR version {model.ir_version}; this version builds "
            f"opset {newest} and IR version {newest_ir} at most",
            code="onnx-too-new",
            place=str(path),
            remedy=f"export the model again with opset_version={min(opset, newest)}, or save it "
            f"with ir_version={newest_ir}",
        )


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    return Port(
        value.name,
        _NUMPY.get(tensor.elem_type, "unknown"),
        tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim),
        tensor.elem_type in _FLOATS,
        tensor.elem_type in _INTEGERS,
    )


def parameters(model: onnx.ModelProto) -> int:
    """How many numbers the graph's weights are."""
    return sum(math.prod(item.dims) for item in stored_tensors(model.graph))
