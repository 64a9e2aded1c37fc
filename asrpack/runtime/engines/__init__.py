"""What runs a model's graphs, behind one interface. A bundle needs its own engine's package only.

One module an engine, imported when its first graph is opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from numpy.typing import NDArray

from asrpack.bundle.plaintext import Content
from asrpack.errors import ToolchainError
from asrpack.runtime.providers import Provider

# The files of a graph by target: what follows the graph's name.
SUFFIXES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("onnxruntime", "cuda", "tensorrt"), (".onnx",)),
    "paddle_inference": (".json", ".pdiparams"),
}


class Graph(Protocol):
    """One graph, ready to run. Several threads may run it at once.

    Attributes:
        inputs: shape of each input by name; axes of no fixed size are no numbers from 0.
        outputs: names.
    """

    inputs: Mapping[str, tuple[Any, ...]]
    outputs: tuple[str, ...]

    def run(self, outputs: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs asked for, in that order."""


def graph_files(target: str, graphs: Iterable[str]) -> list[str]:
    """Names of the files that graphs are made of.

    Raises:
        ToolchainError: there is no such engine.
    """
    if target not in SUFFIXES:
        raise ToolchainError(
            f"there is no engine for the target {target!r}",
            code="target-unknown",
            remedy=f"use the runtime inside the bundle; this one has {', '.join(SUFFIXES)}",
        )
    return [f"{graph}{suffix}" for graph in graphs for suffix in SUFFIXES[target]]


def open_graph(
    target: str,
    name: str,
    files: Mapping[str, Content],
    threads: int = 0,
    *,
    outputs: Sequence[str] = (),
    provider: Provider | None = None,
) -> Graph:
    """Loads a graph from memory. Nothing decrypted is written to disk.

    Args:
        target: one of :data:`SUFFIXES`.
        name: the graph's, e.g. ``encoder``.
        files: contents of :func:`graph_files` by name, those of other graphs too; a
            :class:`asrpack.bundle.plaintext.Plaintext` may be used up.
        threads: for one operator; 0 for :func:`asrpack.runtime.threads.default_threads`.
        outputs: names that the graph must give.
        provider: of ONNX Runtime; None for the CPU.

    Raises:
        ToolchainError: the engine is not installed or cannot load the graph, or an output is
            missing.
    """
    paths = graph_files(target, [name])
    graph = _open(target, paths[0], [files[path] for path in paths], threads, provider)
    if missing := [output for output in outputs if output not in graph.outputs]:
        raise ToolchainError(
            f"the graph gives {', '.join(graph.outputs)}, but not {', '.join(missing)}",
            code="graph-interface",
            place=paths[0],
            remedy="build the bundle again with this version of asrpack",
        )
    return graph


def open_graphs(
    target: str,
    outputs: Mapping[str, Sequence[str]],
    files: Mapping[str, Content],
    threads: int = 0,
    *,
    provider: Provider | None = None,
) -> dict[str, Graph]:
    """Loads a model's graphs, by name: as :func:`open_graph` each, with ``outputs`` of each.

    On the CPU with ONNX Runtime side by side: loading is copying and finding memory. A GPU's
    engines are built with as much of its memory as there is, and Paddle's number of threads is a
    setting of the thread that loads.
    """

    def load(name: str) -> Graph:
        wanted = outputs[name]
        return open_graph(target, name, files, threads, outputs=wanted, provider=provider)

    if target != "onnxruntime" or provider is not None:
        return {name: load(name) for name in outputs}
    with ThreadPoolExecutor(len(outputs)) as pool:
        return dict(zip(outputs, pool.map(load, outputs), strict=True))


def _open(
    target: str, place: str, contents: Sequence[Content], threads: int, provider: Provider | None
) -> Graph:
    try:
        if target == "paddle_inference":
            from asrpack.runtime.engines.paddle_inference import open_predictor

            return open_predictor(contents[0], contents[1], place, threads)
        from asrpack.runtime.engines.onnxruntime import OnnxGraph, open_session

        return OnnxGraph(open_session(contents[0], place, threads, provider))
    except ImportError as error:
        raise ToolchainError(
            f"the engine {target} cannot be imported: {error}",
            code="engine-missing",
            place=place,
            remedy="install what the bundle's requirements.txt names",
        ) from error
