"""Puts a customer's mark into the weights that ship."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from asrpack.errors import InputError
from asrpack.stages import stage
from asrpack.stages.stage import Context, Stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrpack.graph.weight_files import GraphWeights, Matrix

FORMAT = 1
# Small matrices add little to a score; left alone they are one thing less to explain.
MIN_WEIGHTS = 4096
# Trained matrices, rounded to 8 bits as well, have far more numbers that are not 0. What has
# fewer was computed, such as a mel filterbank, and a mark in its zeros would ruin it.
MIN_DENSITY = 0.1
# Codes of the quantizer that are one off: it multiplies by the inverse of a step, in fp32.
MAX_TIES = 1e-3


class WatermarkParams(stage.Params):
    """``strength`` is in steps of the grid that ships (of int8's where there is none).

    0.1 where customers may collude.
    """

    customer: str = Field(min_length=1)
    strength: float = Field(default=0.05, gt=0, le=0.5)


class Watermark(Stage):
    """``onnx/``: the marked graphs; ``mark.json``: what was done, nothing secret.

    Works on what the quantize stage wrote in any precision. Codes are rounded again from the
    fp32 originals with the scales kept, so a customer costs seconds.
    """

    name: ClassVar[str] = "watermark"
    revision: ClassVar[int] = 3
    outputs: ClassVar[tuple[str, ...]] = ("onnx", "mark.json")
    tools: ClassVar[tuple[str, ...]] = ("numpy", "onnx", "onnx-ir")
    Params: ClassVar[type[stage.Params]] = WatermarkParams

    def run(
        self, params: WatermarkParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``original`` (fp32) and ``onnx`` (quantized), and the secret ``key``.

        Raises:
            KeyFileError: ``key`` is not a watermark key.
            InputError: the two folders are not of one model, or hold no matrix to mark.
        """
        from asrpack.bundle.keys import watermark_key
        from asrpack.graph.weight_files import graph_weights
        from asrpack.protect.watermark import SCHEME

        key = watermark_key(context.secrets["key"], "watermark key")
        kind = self.outputs[0]
        folder = out / kind
        folder.mkdir()
        tally = _Tally()
        digests = {}
        pairs = zip_longest(graph_weights(inputs["original"]), graph_weights(inputs[kind]))
        for done, (source, graph) in enumerate(pairs):
            if source is None or graph is None or source.path.name != graph.path.name:
                raise _unrelated((graph or source).path.name)
            context.progress(done, 0, graph.path.name)
            digests[graph.path.name] = hashlib.sha256(source.path.read_bytes()).hexdigest()
            _mark_graph(source, graph, key, params, tally)
            graph.save(folder)
        if not tally.tensors:
            raise InputError(
                f"no trained matrix has {MIN_WEIGHTS} numbers or more: there is nothing to mark",
                code="watermark-no-weights",
                place=str(inputs[kind]),
                remedy="take `protect.watermark` out of the recipe",
            )
        digest, committed = commitment_to(key, digests)
        mark = {
            "format": FORMAT,
            "scheme": SCHEME,
            "customer": params.customer,
            "strength": params.strength,
            "commitment": digest,
            "committed": committed,
            "tensors": tally.tensors,
            "weights": tally.weights,
            "relative_perturbation": float(f"{tally.perturbation:.3g}"),
        }
        (out / "mark.json").write_bytes(_canonical(mark) + b"\n")


class WatermarkPaddle(Watermark):
    """``paddle/`` instead of ``onnx/``; see :class:`Watermark`."""

    outputs: ClassVar[tuple[str, ...]] = ("paddle", "mark.json")
    tools: ClassVar[tuple[str, ...]] = ("numpy",)


def read_weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The matrices of a model that marks go into, dequantized, by ``GRAPH/NAME``.

    Args:
        folder: graphs in ONNX or for Paddle Inference, in any precision that asrpack writes. A
            matrix has the same name in both.
    """
    from asrpack.graph.weight_files import graph_weights

    return {
        _identity(graph, matrix): matrix.values()
        for graph in graph_weights(folder)
        for matrix in graph.matrices
        if _is_markable(matrix.values())
    }


def commitment_to(key: bytes, digests: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """What a vendor commits to before shipping, the same for all customers of a model.

    Args:
        digests: SHA-256 (hex) of the unmarked graphs by file name.

    Returns:
        SHA-256 (hex) over the second in canonical JSON; and ``key`` and ``original``.
    """
    from asrpack.bundle.secrets import commitment

    committed = {"key": commitment(key), "original": dict(digests)}
    return hashlib.sha256(_canonical(committed)).hexdigest(), committed


def _is_markable(values: NDArray[np.float32]) -> bool:
    dense = (values != 0).sum() >= MIN_DENSITY * values.size
    return values.size >= MIN_WEIGHTS and bool(dense)


@dataclass
class _Tally:
    tensors: list[str]
    weights: int
    changed: float
    total: float

    def __init__(self) -> None:
        self.tensors, self.weights, self.changed, self.total = [], 0, 0.0, 0.0

    @property
    def perturbation(self) -> float:
        """Norm of the change over the norm of the unmarked weights."""
        return math.sqrt(self.changed / self.total) if self.total else 0.0


def _identity(graph: GraphWeights, matrix: Matrix) -> str:
    return f"{graph.path.stem}/{matrix.name}"


def _mark_graph(
    original: GraphWeights, graph: GraphWeights, key: bytes, params: WatermarkParams, tally: _Tally
) -> None:
    import numpy as np

    from asrpack.protect.watermark import dither, mark_codes, mark_floats

    originals = {matrix.name: matrix for matrix in original.matrices}
    for matrix in graph.matrices:
        before = matrix.values()
        if not _is_markable(before):
            continue
        name = _identity(graph, matrix)
        source = originals.get(matrix.name)
        if source is None and matrix.name in original.constants:
            continue  # a convolution's kernel, which only int8 turns into a matrix
        if source is None or source.values().shape != before.shape:
            raise _unrelated(name)
        weight = source.values()
        mark = dither(key, params.customer, name, weight.shape, params.strength)
        if matrix.steps is None:
            matrix.store(mark_floats(weight, mark))
        else:
            steps, grid = matrix.steps, (matrix.zeros, matrix.limits)
            unmarked = mark_codes(weight, steps, np.zeros_like(mark), *grid)
            if np.mean(unmarked != matrix.codes()) > MAX_TIES:
                raise _unrelated(name)
            matrix.store(mark_codes(weight, steps, mark, *grid))
        tally.tensors.append(name)
        tally.weights += before.size
        tally.changed += float(np.square(matrix.values() - before, dtype=np.float64).sum())
        tally.total += float(np.square(before, dtype=np.float64).sum())


def _unrelated(name: str) -> InputError:
    return InputError(
        "the weights to mark were not quantized from the original given with them",
        code="watermark-unrelated",
        place=name,
        remedy="build again with `--force quantize`",
    )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
