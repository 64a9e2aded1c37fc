"""Puts a customer's mark into the weights that ship."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
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

    Args:
        keeps: hold the unmarked model in memory from one run to the next.
    """

    name: ClassVar[str] = "watermark"
    revision: ClassVar[int] = 3
    outputs: ClassVar[tuple[str, ...]] = ("onnx", "mark.json")
    tools: ClassVar[tuple[str, ...]] = ("numpy", "onnx", "onnx-ir")
    Params: ClassVar[type[stage.Params]] = WatermarkParams

    def __init__(self, *, keeps: bool = False) -> None:
        self._keeps = keeps
        self._model: Unmarked | None = None

    def run(
        self, params: WatermarkParams, inputs: Mapping[str, Path], out: Path, context: Context
    ) -> None:
        """Reads ``original`` (fp32) and ``onnx`` (quantized), and the secret ``key``.

        Raises:
            KeyFileError: ``key`` is not a watermark key.
            InputError: the two folders are not of one model, or hold no matrix to mark.
        """
        from asrpack.bundle.keys import watermark_key

        key = watermark_key(context.secrets["key"], "watermark key")
        kind = self.outputs[0]
        model = self._model
        if model is None or not model.is_of(inputs["original"], inputs[kind], key):
            model = Unmarked(inputs["original"], inputs[kind], key)
        if self._keeps:
            self._model = model
        (out / kind).mkdir()
        mark = model.mark(params, out / kind, context)
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


def _identity(graph: GraphWeights, matrix: Matrix) -> str:
    return f"{graph.path.stem}/{matrix.name}"


class Unmarked:
    """A model that is marked for one customer after the other: what is the same for all is read
    and computed once.

    Args:
        original: folder of the fp32 graphs.
        folder: of the graphs to mark, made of them.

    Raises:
        InputError: the two are not of one model, or hold no matrix to mark.
    """

    def __init__(self, original: Path, folder: Path, key: bytes) -> None:
        from asrpack.graph.weight_files import graph_weights

        self._sources, self._key = (original, folder), key
        self._graphs: list[tuple[GraphWeights, list[_Canvas]]] = []
        self._digests: dict[str, str] = {}
        for source, graph in zip_longest(graph_weights(original), graph_weights(folder)):
            if source is None or graph is None or source.path.name != graph.path.name:
                raise _unrelated((graph or source).path.name)
            with source.path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            self._digests[graph.path.name] = digest
            self._graphs.append((graph, list(_canvases(source, graph, key))))
        if not any(canvases for _, canvases in self._graphs):
            raise InputError(
                f"no trained matrix has {MIN_WEIGHTS} numbers or more: there is nothing to mark",
                code="watermark-no-weights",
                place=str(folder),
                remedy="take `protect.watermark` out of the recipe",
            )

    def is_of(self, original: Path, folder: Path, key: bytes) -> bool:
        """Whether these were its sources."""
        return (self._sources, self._key) == ((original, folder), key)

    def mark(self, params: WatermarkParams, folder: Path, context: Context) -> dict[str, Any]:
        """Writes a customer's graphs into a folder; returns what ``mark.json`` says."""
        from asrpack.protect.watermark import SCHEME

        canvases: list[_Canvas] = []
        changed = 0.0
        for done, (graph, inside) in enumerate(self._graphs):
            context.progress(done, len(self._graphs), graph.path.name)
            changed += sum(item.mark(self._key, params) for item in inside)
            graph.save(folder)
            canvases += inside
        digest, committed = commitment_to(self._key, self._digests)
        total = sum(item.energy for item in canvases)
        return {
            "format": FORMAT,
            "scheme": SCHEME,
            "customer": params.customer,
            "strength": params.strength,
            "commitment": digest,
            "committed": committed,
            "tensors": [item.name for item in canvases],
            "weights": sum(item.before.size for item in canvases),
            # Norm of the change over the norm of the unmarked weights.
            "relative_perturbation": float(f"{math.sqrt(changed / total) if total else 0.0:.3g}"),
        }


@dataclass(frozen=True)
class _Canvas:
    """One matrix to mark, with all that does not depend on the customer.

    Attributes:
        name: ``GRAPH/NAME``.
        before: unmarked, as the graph multiplies by it.
        energy: sum of its squares.
        base: what a mark is added to: weights, or codes before they are rounded.
        unit: what a mark is in: the weights' steps, or the signs of the codes'.
        limits: least and greatest code; None where weights are stored.
        bounds: of the customers' draws.
    """

    name: str
    matrix: Matrix
    before: NDArray[np.float32]
    energy: float
    base: NDArray[np.float32]
    unit: NDArray[np.float32]
    limits: tuple[int, int] | None
    bounds: NDArray[np.uint16]

    def mark(self, key: bytes, params: WatermarkParams) -> float:
        """Stores a customer's numbers; returns the sum of the squares of what changed."""
        from asrpack.protect.watermark import add_mark, dither, round_codes

        shape = self.base.shape
        mark = dither(key, params.customer, self.name, shape, params.strength, self.bounds)
        marked = add_mark(self.base, mark, self.unit)
        self.matrix.store(marked if self.limits is None else round_codes(marked, self.limits))
        return _energy(self.matrix.values() - self.before)


def _canvases(original: GraphWeights, graph: GraphWeights, key: bytes) -> Iterator[_Canvas]:
    import numpy as np

    from asrpack.protect.watermark import channel_steps, exact_codes, round_codes, thresholds

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
        weight, steps, limits = source.values(), matrix.steps, None
        if steps is None:
            base, unit = weight, channel_steps(weight)
            if np.array_equal(before, weight):
                before = weight  # held once
        else:
            base, limits = exact_codes(weight, steps, matrix.zeros), matrix.limits
            unit = np.where(steps < 0, np.float32(-1), np.float32(1))
            if np.mean(round_codes(base, limits) != matrix.codes()) > MAX_TIES:
                raise _unrelated(name)
        bounds = thresholds(key, name, weight.size)
        yield _Canvas(name, matrix, before, _energy(before), base, unit, limits, bounds)


def _energy(values: NDArray[np.float32]) -> float:
    import numpy as np

    flat = values.ravel()
    return float(np.einsum("i,i->", flat, flat, dtype=np.float64))


def _unrelated(name: str) -> InputError:
    return InputError(
        "the weights to mark were not quantized from the original given with them",
        code="watermark-unrelated",
        place=name,
        remedy="build again with `--force quantize`",
    )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
