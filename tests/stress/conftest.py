"""Services to load: real ones of the tiny models, and ones that follow a script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asrpack.cli import main
from tests.runtime.conftest import sealed_once, streaming_sealed
from tests.runtime.service.conftest import streaming_server, whole_server

__all__ = ["sealed_once", "streaming_sealed", "streaming_server", "whole_server"]

FAST = ["--concurrency", "3", "--duration", "1", "--warm-up", "0.3", "--timeout", "20"]


@dataclass(frozen=True)
class Found:
    """What a run of ``asrpack stress --json`` ended with."""

    code: int
    figures: dict[str, Any]
    errors: str


Stress = Callable[..., Found]


@pytest.fixture(scope="session")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two recordings, 0.75 and 1 s, in which the tiny models find something."""
    folder = tmp_path_factory.mktemp("audio")
    for name, seconds in (("a.wav", 0.75), ("b.flac", 1.0)):
        noise = np.random.default_rng(1).standard_normal(round(16000 * seconds)) * 0.03
        soundfile.write(folder / name, noise, 16000)
    return folder


@pytest.fixture
def stress(audio: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Stress]:
    """Runs the verb, with :data:`FAST`, as the command line does."""

    def run(service: object, *words: object, sounds: bool = True) -> Found:
        given = ["--audio", audio] if sounds else []
        line = ["stress", service, *given, *FAST, *words, "--json"]
        code = main([str(word) for word in line])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return Found(code, json.loads(told.out), told.err)

    yield run
