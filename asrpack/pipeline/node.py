"""A stage put in its place: with parameters, and with where each input comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asrpack.bundle.secrets import SecretSource, commitment
from asrpack.pipeline.digest import digest_json, digest_path
from asrpack.runtime.providers import installed_runtime
from asrpack.stages.stage import Params, Stage

ABSENT = "absent"


@dataclass(frozen=True)
class Source:
    """A file or folder that the user brings; ``files`` are further files it stands for."""

    path: Path
    files: tuple[Path, ...] = ()

    def digest(self) -> str:
        return digest_path(self.path, self.files)


@dataclass(frozen=True)
class Output:
    """What another node leaves."""

    stage: str
    name: str


@dataclass(frozen=True)
class Records:
    """Of what these stages were made, and the node's own sources, as one JSON file.

    See :mod:`asrpack.pipeline.records`. For documents that tell how a bundle came about.
    """

    stages: tuple[str, ...]


Input = Source | Output | Records


@dataclass(frozen=True)
class Node:
    """One stage of one build. Its cache key is made of :meth:`components` alone."""

    stage: Stage
    params: Params
    inputs: Mapping[str, Input]
    secrets: Mapping[str, SecretSource] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def missing_tools(self) -> list[str]:
        """Distributions that the stage needs and that are not installed."""
        return [tool for tool in self.stage.tools if _version(tool) == ABSENT]

    def components(self, input_digests: Mapping[str, str]) -> dict[str, Any]:
        """All that the result depends on, as canonical data; secrets as commitments."""
        return {
            "stage": self.stage.name,
            "revision": self.stage.revision,
            "params": self.params.model_dump(mode="json"),
            "inputs": dict(input_digests),
            "tools": {tool: _version(tool) for tool in self.stage.tools},
            "secrets": {name: commitment(source.read()) for name, source in self.secrets.items()},
        }


def cache_key(components: Mapping[str, Any]) -> str:
    """SHA-256 over the components' canonical JSON (hex, never truncated)."""
    return digest_json(components)


def _version(distribution: str) -> str:
    if distribution == "onnxruntime" and (found := installed_runtime()):
        # The one for GPUs is another distribution of the same module.
        name, number = found
        return number if name == distribution else f"{number} ({name})"
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ABSENT
