"""Graphs on Paddle Inference, from bytes in memory. The only place here that imports paddle.

A graph is a program in Paddle's new format (PIR, ``.json``) and its parameters (``.pdiparams``).
``Config.set_model_buffer`` crashes (SIGSEGV) with that format on 3.1.1 and 3.3.1, so both are given
as files that exist in memory only: sealed by nobody's directory entry, gone with their descriptor.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.bundle.plaintext import Content
from asrpack.errors import ToolchainError
from asrpack.runtime.memory_files import file_in_memory
from asrpack.runtime.threads import default_threads


@contextmanager
def _folder() -> Iterator[str]:
    """A folder of this user's alone, in memory where there is such: a host may be read-only."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="asrpack-", dir=place) as folder:
        yield folder


@contextmanager
def _importing() -> Iterator[None]:
    """Paddle makes a cache folder at home when it is imported, and needs one for passing files."""
    home, temporary = os.environ.get("HOME"), tempfile.tempdir
    with _folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no compiler cache
        os.environ["HOME"] = tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = temporary
            if home is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = home


with _importing():
    import paddle
    from paddle import inference


class PaddleGraph:
    """A :class:`asrpack.runtime.engines.Graph` around a predictor. Calls take turns.

    A predictor holds the tensors of one call. Copies for calls at once (``clone``) read the
    program again, so its file would have to outlast the loading.
    """

    def __init__(self, predictor: Any, inputs: Mapping[str, tuple[Any, ...]]) -> None:
        self.inputs = inputs
        self.outputs = tuple(predictor.get_output_names())
        self._predictor = predictor
        self._turn = threading.Lock()

    def run(self, outputs: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs asked for, in that order."""
        with self._turn:
            for name in self.inputs:
                handle = self._predictor.get_input_handle(name)
                handle.copy_from_cpu(np.ascontiguousarray(feed[name]))
            self._predictor.run()
            return [self._predictor.get_output_handle(name).copy_to_cpu() for name in outputs]


def open_predictor(
    program: Content, parameters: Content, name: str, threads: int = 0
) -> PaddleGraph:
    """Loads a graph for the CPU. Nothing is written to disk.

    oneDNN is on: without it a conformer of 12 x 256 takes six times as long.

    Args:
        program: contents of the ``.json``.
        parameters: contents of the ``.pdiparams``; a :class:`asrpack.bundle.plaintext.Plaintext`
            is used up.
        name: what messages call it, e.g. ``encoder.json``.
        threads: for one operator; 0 for :func:`default_threads`.

    Raises:
        ToolchainError: this Paddle cannot load it, or the system has no files in memory.
    """
    try:
        inputs = _inputs(json.loads(bytes(program)))
        with (
            file_in_memory(program, "graph") as model,
            file_in_memory(parameters, "graph") as weights,
            _linked(model) as link,
        ):
            config = inference.Config(str(link), str(weights))
            config.disable_gpu()
            config.disable_glog_info()
            config.enable_mkldnn()
            config.set_cpu_math_library_num_threads(threads or default_threads())
            return PaddleGraph(inference.create_predictor(config), inputs)
    # Paddle raises whatever the operator at fault raises.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ToolchainError(
            f"paddlepaddle {paddle.__version__} cannot load the graph: "
            f"{lines[-1] if lines else type(error).__name__}",
            code="paddle-load",
            place=name,
            remedy="install the versions that the bundle's requirements.txt names",
        ) from error


def _inputs(program: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, -1 where the size is free."""
    (block,) = program["program"]["regions"][0]["blocks"]
    found = {}
    for operator in block["ops"]:
        if operator["#"] == "1.data":
            given = {item["N"]: item["AT"]["D"] for item in operator["A"]}
            found[given["name"]] = tuple(given["shape"])
    return found


@contextmanager
def _linked(target: Path) -> Iterator[Path]:
    """A link to a program: Paddle tells the format by the suffix of its name."""
    with _folder() as folder:
        link = Path(folder) / "graph.json"
        link.symlink_to(target)
        yield link
