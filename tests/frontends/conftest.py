"""A small model directory that tests may break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.make_conformer import configuration, write_model


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two blocks in PaddleSpeech's layout; not to be changed."""
    directory = tmp_path_factory.mktemp("pristine") / "model"
    config = configuration(blocks=2, size=16, heads=2, units=24, decoder_blocks=1, vocabulary=20)
    write_model(directory, config)
    return directory


@pytest.fixture
def model(pristine: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(pristine, tmp_path / "model"))
