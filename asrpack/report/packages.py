"""What a bundle's runtime needs installed, with the versions that it was measured with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

from asrpack.runtime.providers import installed_runtime

# asrpack.runtime's own imports; what they need follows from their metadata.
RUNTIME = ("cryptography", "numpy", "soundfile", "soxr")
# Of asrpack.runtime.service.
SERVICE = ("prometheus-client", "python-multipart", "starlette", "uvicorn", "websockets")
ENGINES = {
    "onnxruntime": ("onnxruntime",),
    "cuda": ("onnxruntime",),
    "tensorrt": ("onnxruntime",),
    # setuptools paddle imports, undeclared; onnxruntime runs what detects speech.
    "paddle_inference": ("onnxruntime", "paddlepaddle", "setuptools"),
}
# For GPUs, where the build's host has the CPU's: the newest there is, built with CUDA 13,
# cuDNN 9 and TensorRT 10, which the image brings.
ONNX_RUNTIME_GPU = ("onnxruntime-gpu", "1.31.1")


def runtime_packages(
    target: str, *, ngram: bool = False, gpu: bool = False
) -> list[tuple[str, str]]:
    """(name, version) of the runtime's distributions and all they require, sorted by name.

    Args:
        target: what runs the model.
        ngram: with what reads a language model.
        gpu: with the onnxruntime that has GPU providers.
    """
    installed = installed_runtime()
    names = [*RUNTIME, *SERVICE, *ENGINES[target], *(("flashlight-text",) if ngram else ())]
    if "onnxruntime" in names and installed is not None:
        names[names.index("onnxruntime")] = installed[0]
    found = dict(installed_closure(names))
    if gpu and installed is not None and installed[0] != ONNX_RUNTIME_GPU[0]:
        # Both require the same packages.
        del found[installed[0]]
        found |= [ONNX_RUNTIME_GPU]
    return sorted(found.items())


def installed_closure(names: Iterable[str]) -> list[tuple[str, str]]:
    """(name, version) of distributions and all that they require here, without extras."""
    found: dict[str, str] = {}
    todo = list(names)
    while todo:
        name = todo.pop()
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key in found:
            continue
        try:
            dist = distribution(name)
        except PackageNotFoundError:  # required on another platform only
            continue
        found[key] = dist.version
        for text in dist.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return sorted(found.items())
