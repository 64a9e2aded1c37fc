"""Whether a provider works on this host, found out by running a trial graph on it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import os
from pathlib import Path

import numpy as np

from asrpack.bundle.provider import CudaOptions, ProviderSpec, ShapeRange, TensorrtOptions
from asrpack.errors import ToolchainError
from asrpack.runtime.engines import onnxruntime as engine
from asrpack.runtime.providers import NAMES, Provider, installed_runtime, missing

# The CUDA provider loads it by itself, and late.
CUDNN = "libcudnn.so.9"
# y = x + x for one float axis, opset 13, IR version 7: what a provider is tried with.
_TRIAL = bytes.fromhex(
    "08073a370a0e0a01780a017812017922034164641201675a100a0178120b0a09080112050a0312016e62100a0179"
    "120b0a09080112050a0312016e42040a00100d"
)
_TRIAL_PROFILE = ShapeRange((1,), (1,), (1,))


def choose(spec: ProviderSpec, place: str) -> Provider | None:
    """The provider to open sessions with, or None for the CPU.

    Args:
        place: what an error is about: the bundle.

    Raises:
        ToolchainError: the provider does not work here, and the CPU was not allowed.
    """
    fault = provider_fault(spec.target, spec.options.device_id)
    if fault is None:
        return Provider(spec)
    if spec.fallback:
        return None
    raise missing(spec, fault, place)


@functools.cache
def provider_fault(target: str, device_id: int = 0) -> str | None:
    """Why a provider does not work here, in words; None where it computes a trial graph.

    Args:
        target: ``cuda`` or ``tensorrt``.
    """
    name = NAMES[target]
    if name not in engine.onnxruntime.get_available_providers():
        found = installed_runtime()
        shown = " ".join(found) if found else engine.onnxruntime.__version__
        return f"{shown} was built without it"
    preload()
    options: CudaOptions | TensorrtOptions = CudaOptions(device_id)
    if target == "tensorrt":
        options = TensorrtOptions(device_id, profiles={"trial": {"x": _TRIAL_PROFILE}})
    try:
        _try(Provider(ProviderSpec(target, options)))
    except ToolchainError as error:
        return _library_fault(name) or error.message
    return None


def _try(provider: Provider) -> None:
    """Runs the trial graph, and keeps ONNX Runtime's own lines off standard error.

    Raises:
        ToolchainError: the provider does not work here.
    """
    engine.onnxruntime.set_default_logger_severity(4)
    try:
        opened = engine.open_session(_TRIAL, "trial.onnx", 1, provider=provider)
        doubled = opened.run(None, {"x": np.ones(1, np.float32)})[0]
    except ToolchainError:
        raise
    except Exception as error:
        raise ToolchainError(f"a trial graph fails on it: {engine.first_line(error)}") from error
    finally:
        engine.onnxruntime.set_default_logger_severity(2)
    if doubled != 2:
        raise ToolchainError(f"a trial graph gives {doubled} and not 2 on it")


def _library_fault(name: str) -> str | None:
    """The first library that a provider's needs and the dynamic linker does not find, in its words.

    Only after ONNX Runtime has tried to load it: a provider's library that is loaded before knows
    of no ONNX Runtime, and crashes when it is used.
    """
    folder = Path(engine.onnxruntime.__file__).parent / "capi"
    short = name.removesuffix("ExecutionProvider").lower()
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / f"libonnxruntime_providers_{short}.so"), mode=os.RTLD_LAZY)
        ctypes.CDLL(CUDNN)
    except OSError as error:
        return str(error)
    return None


@functools.cache
def preload() -> None:
    """Loads CUDA and cuDNN from the ``nvidia-*`` wheels, where they are installed."""
    # It prints what it does not find: _library_fault tells what is missing and needed.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        engine.onnxruntime.preload_dlls()
