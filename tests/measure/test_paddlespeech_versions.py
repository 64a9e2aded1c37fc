"""Where PaddleSpeech cannot be had, the user is told what to install."""

from __future__ import annotations

import importlib.metadata

import pytest

from asrpack.errors import ToolchainError
from asrpack.measure.oracle import installed_versions

FITTING = {
    "paddlespeech": "1.5.0",
    "paddlepaddle": "3.1.1",
    "numpy": "2.4.6",
    "soundfile": "0.14.0",
    "librosa": "0.11.0",
}


def pretend(monkeypatch: pytest.MonkeyPatch, **installed: str | None) -> None:
    versions = FITTING | installed

    def version(name: str) -> str:
        found = versions[name]
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_versions_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    assert installed_versions() == FITTING


@pytest.mark.parametrize("name", ["paddlespeech", "paddlepaddle"])
def test_missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    pretend(monkeypatch, **{name: None})
    with pytest.raises(ToolchainError, match=f"{name} is not installed") as caught:
        installed_versions()
    assert "pip install 'asrpack[build,paddlespeech]'" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("paddle", "fits"),
    [("3.0.0", True), ("3.1.1", True), ("3.2.2", False), ("3.3.1", False), ("4.0.0rc1", False)],
)
def test_paddle_that_it_cannot_run_on(
    monkeypatch: pytest.MonkeyPatch, paddle: str, fits: bool
) -> None:
    pretend(monkeypatch, paddlepaddle=paddle)
    if fits:
        installed_versions()
        return
    with pytest.raises(ToolchainError, match=f"on paddlepaddle {paddle}"):
        installed_versions()
