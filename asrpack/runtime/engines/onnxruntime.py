"""Graphs on ONNX Runtime, from memory. The only place that imports onnxruntime here."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

# onnxruntime 1.30 and later report usage over the network unless told not to before the import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as onnxruntime
from numpy.typing import NDArray

from asrpack.bundle.plaintext import Content
from asrpack.bundle.provider import CPU
from asrpack.errors import ToolchainError
from asrpack.runtime.cpu import cpu_flags, has_vnni
from asrpack.runtime.memory_files import pipe_of
from asrpack.runtime.providers import Chain, Provider
from asrpack.runtime.threads import default_threads

# Metadata of a graph whose weights have 7 bits.
SEVEN_BITS = "asrpack.seven_bits"
# Address space that activations are taken from; it is memory as far as it was ever written to.
# 30 s in a conformer of 12 x 256 take 160 MB.
ARENA_SIZE = 256 << 20
_REGISTERING = threading.Lock()


class OnnxGraph:
    """A :class:`asrpack.runtime.engines.Graph` around a session."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.inputs: Mapping[str, tuple[Any, ...]] = {
            item.name: tuple(item.shape) for item in session.get_inputs()
        }
        self.outputs = tuple(item.name for item in session.get_outputs())

    def run(self, outputs: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs asked for, in that order."""
        return [np.asarray(value) for value in self._session.run(outputs, feed)]


def open_session(
    model: Content, name: str, threads: int = 0, provider: Provider | None = None
) -> onnxruntime.InferenceSession:
    """Loads a graph. Nothing is written to disk but what the provider's cache keeps.

    Args:
        model: the serialized ONNX graph; a :class:`asrpack.bundle.plaintext.Plaintext` may be
            used up.
        name: what messages call it, e.g. ``encoder.onnx``.
        threads: for one operator; 0 for :func:`default_threads`.
        provider: what runs it; None for the CPU.

    Raises:
        ToolchainError: this onnxruntime cannot load it, or took another provider.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    # Threads of a graph that is done would spin on for a while, beside those of the next graph:
    # encoder and decoder in turn took twice the time and processors of this.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    # A plan of all tensors for each shape that comes twice: recordings have many lengths, and each
    # plan wants its memory in one piece, beside what the arena holds already. Not so on GPUs.
    options.enable_mem_pattern = provider is not None
    if provider is None:
        with _REGISTERING:
            _register_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
    # Without VNNI the default kernel for int8 weights adds pairs of products in 16 bits and
    # saturates; the other one is exact, and less than half as fast where there is VNNI. Weights of
    # 7 bits do not saturate it.
    if not has_vnni(cpu_flags()) and SEVEN_BITS.encode() not in model:
        options.add_session_config_entry("session.x64quantprecision", "1")
    chain: Chain = [(CPU, {})] if provider is None else provider.chain(Path(name).stem)
    try:
        # enable_fallback=0: without it a provider that fails is a line on standard output, and
        # the model runs on another one.
        with _source(model, provider) as source:
            session = onnxruntime.InferenceSession(
                source, options, providers=chain, enable_fallback=0
            )
    except Exception as error:  # its exceptions share no public base class
        if provider is not None and provider.fault is not None:
            raise provider.fault from error
        raise ToolchainError(
            f"onnxruntime {onnxruntime.__version__} cannot load the graph: {first_line(error)}",
            code="onnxruntime-load",
            place=name,
            remedy="install the versions that the bundle's requirements.txt names",
        ) from error
    if provider is not None:
        provider.check(session, name)
    return session


@cache
def _register_arena() -> None:
    """One arena for the sessions of all graphs, begun with one large region.

    By default each session has its own, which grows by regions as lengths come: what is free in
    one region is no use to a tensor that fits into none.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    settings = onnxruntime.OrtArenaCfg({"initial_chunk_size_bytes": ARENA_SIZE})
    onnxruntime.create_and_register_allocator(memory, settings)


@contextmanager
def _source(model: Content, provider: Provider | None) -> Iterator[bytes | str]:
    """What a session is opened from.

    Of bytes it keeps a copy beside what it parses; from a pipe it takes piece by piece. TensorRT
    tells engines apart by their model's path, which a pipe has no lasting one of.
    """
    if provider is None and Path("/proc/self/fd").is_dir():
        with pipe_of(model) as path:
            yield str(path)
    else:
        yield bytes(model)


def first_line(error: Exception) -> str:
    """The cause in ONNX Runtime's words, without what follows it."""
    return (str(error).splitlines() or [type(error).__name__])[0]
