"""What a frontend of ONNX graphs gives: the description, and how each graph is rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrpack.bundle.model import ModelDescription
from asrpack.frontends.recognised import Recognised
from asrpack.networks.foreign import ForeignEncoder


@dataclass(frozen=True)
class Imported:
    """A model of ONNX graphs that was recognised and held against its description.

    Attributes:
        description: whose ``network`` has the declaration, too.
        encoder: the declaration of the encoder's graph.
        files: the ``.onnx`` file of each part, by its role; ``encoder`` always.
        sources: all files that were read: graphs, external weights, units.
        parameters: how many numbers the weights are.
        reason: what it was recognised by, in words.
    """

    description: ModelDescription
    encoder: ForeignEncoder
    files: dict[str, Path]
    sources: tuple[Path, ...]
    parameters: int
    reason: str

    @property
    def recognised(self) -> Recognised:
        """In the form that every frontend has."""
        return Recognised(self.description.family, self.reason, self.sources, self.files["encoder"])
