"""What a bundle's runtime needs installed, with the versions that it was measured with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement

# asrpack.runtime's own imports; what they need follows from their metadata.
RUNTIME = ("cryptography", "numpy", "soundfile", "soxr")
ENGINES = {
    "onnxruntime": ("onnxruntime",),
    "paddle_inference": ("paddlepaddle", "setuptools"),  # which paddle imports, undeclared
}


def runtime_packages(target: str, *, ngram: bool = False) -> list[tuple[str, str]]:
    """(name, version) of the runtime's distributions and all they require, sorted by name.

    Args:
        target: what runs the model.
        ngram: with what reads a language model.
    """
    return installed_closure((*RUNTIME, *ENGINES[target], *(("flashlight-text",) if ngram else ())))


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
