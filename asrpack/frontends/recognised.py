"""What a model was found to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recognised:
    """What a model on disk was found to be.

    Attributes:
        family: as in :class:`asrpack.bundle.model.ModelDescription`.
        reason: what it was recognised by, in words.
        files: the files that a build will read.
        checkpoint: the weights among them.
        streams: it was trained to be run chunk by chunk.
        streamed: PaddleSpeech's own command line runs it so (``simulate_streaming``).
    """

    family: str
    reason: str
    files: tuple[Path, ...]
    checkpoint: Path
    streams: bool = False
    streamed: bool = False
