"""Paddle Inference files to an ONNX graph with named outputs and axes, by paddle2onnx."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from asrpack.errors import ToolchainError
from asrpack.graph.recurrent import give_lengths
from asrpack.networks.interface import GraphSpec

# The first with LayerNormalization as one operator.
OPSET = 17

logger = logging.getLogger(__name__)
# What explain_abort looks for: paddle2onnx does not name an operator that it does not know.
_UNLISTED = "operators that paddle2onnx does not list: "
# Its list has Paddle 2's names for these, and lacks a graph's inputs and outputs.
_CONVERTED = {
    *("data", "fetch"),
    *("add", "arange", "divide", "floor_divide", "matmul", "multiply", "subtract", "unsqueeze"),
}


def convert(path: Path, spec: GraphSpec) -> onnx.ModelProto:
    """Converts ``path`` + ``.json`` and ``.pdiparams``.

    Aborts the process on an operator that paddle2onnx cannot convert; see :func:`explain_abort`.

    Args:
        path: the files' common path without suffix.
        spec: gives the outputs their names, in their order (paddle2onnx numbers them), and the
            free axes theirs.

    Raises:
        ToolchainError: paddle2onnx fails, or gives a graph that is not valid ONNX.
    """
    model = convert_program(path)
    _name_outputs(model.graph, spec)
    _name_axes(model.graph, spec)
    lengths = {item.length for item in spec.outputs if item.length is not None}
    if len(lengths) == 1:
        give_lengths(model.graph, lengths.pop())
    _check(model, path)
    return model


def convert_program(path: Path) -> onnx.ModelProto:
    """Converts ``path`` + ``.json`` and ``.pdiparams`` with the names that the program has.

    Raises:
        ToolchainError: paddle2onnx fails, or gives a graph that is not valid ONNX.
    """
    import paddle2onnx

    try:
        if unlisted := _unlisted_operators(path.with_suffix(".json")):
            logger.warning("%s%s", _UNLISTED, ", ".join(unlisted))
        data = paddle2onnx.export(
            f"{path}.json",
            f"{path}.pdiparams",
            opset_version=OPSET,
            # With it, a graph that needs a later opset gets one without a word.
            auto_upgrade_opset=False,
            # Names every operator before it is converted, for explain_abort.
            verbose=True,
            # Its default tool installs packages by itself.
            optimize_tool="None",
        )
    # paddle2onnx raises RuntimeError and whatever its helpers raise.
    except Exception as error:
        raise ToolchainError(
            f"paddle2onnx cannot convert the {path.name}: {error}",
            code="convert-failed",
            place=f"convert: {path.name}",
            remedy="check that paddle2onnx and Paddle are supported versions with `asrpack doctor`",
        ) from error
    model: onnx.ModelProto = onnx.load_from_string(data)
    _check(model, path)
    return model


def _check(model: onnx.ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ToolchainError(
            f"paddle2onnx gave a graph that is not valid ONNX: {error}",
            code="onnx-invalid",
            place=f"convert: {path.name}",
            remedy="check that paddle2onnx and onnx are supported versions with `asrpack doctor`",
        ) from error


def explain_abort(log_text: str) -> str | None:
    """Names the operator on which paddle2onnx aborted its process.

    Args:
        log_text: what the process printed, both streams.

    Returns:
        The cause in a sentence, or None where this was not an abort of paddle2onnx.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", log_text)
    if "Due to the unsupported operators" in text:
        unlisted = re.findall(re.escape(_UNLISTED) + "(.+)", text)
        return f"paddle2onnx has no conversion for: {unlisted[-1] if unlisted else 'an operator'}"
    errors = re.findall(r"\[ERROR\]\[Paddle2ONNX\] *(.+)", text)
    started = re.findall(r"\[Paddle2ONNX\] (Start|Finish) export (?:\w+\.)?(\w+)", text)
    where = f" at operator {started[-1][1]}" if started and started[-1][0] == "Start" else ""
    if errors or where:
        return f"paddle2onnx gave up{where}" + (f": {errors[-1].strip()}" if errors else "")
    return None


def _unlisted_operators(program: Path) -> list[str]:
    """Operators of a Paddle program that paddle2onnx does not list as supported.

    Its list is not complete, so this only says where to look once the conversion has failed.
    """
    from paddle2onnx.paddle2onnx_cpp2py_export import get_all_supported_operators_pir

    listed = {str(name) for name in get_all_supported_operators_pir()}
    found = {
        name.partition(".")[2]
        for name in _operators(json.loads(program.read_bytes())["program"])
        if name.startswith("1.")  # dialect 0 is the program's own bookkeeping
    }
    return sorted(found - listed - _CONVERTED)


def _operators(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for operator in value.get("ops", ()):
            yield operator["#"]
        for item in value.values():
            yield from _operators(item)
    elif isinstance(value, list):
        for item in value:
            yield from _operators(item)


def _name_outputs(graph: onnx.GraphProto, spec: GraphSpec) -> None:
    names = zip(graph.output, spec.output_names, strict=True)
    new = {value.name: name for value, name in names}
    for value in (*graph.output, *graph.value_info):
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]


def _name_axes(graph: onnx.GraphProto, spec: GraphSpec) -> None:
    declared = {item.name: item.dims for item in (*spec.inputs, *spec.outputs)}
    for value in (*graph.input, *graph.output):
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, declared[value.name], strict=True):
            if isinstance(size, str):
                dim.dim_param = size
