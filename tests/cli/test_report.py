"""``asrpack report`` on what a build left."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path

import pytest

from asrpack.cli import main
from tests.report.example import change, write_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "artifact")


def test_it_is_written_into_the_artifact(
    artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(artifact)]) == 0
    assert capsys.readouterr().out.strip() == str(artifact / "report.html")
    assert "Accepted" in (artifact / "report.html").read_text(encoding="utf-8")
    assert not list(artifact.glob(".*"))


def test_or_elsewhere(artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(artifact, "gate.json", "ok", to=False)
    there = tmp_path / "there.html"
    assert main(["report", str(artifact), "-o", str(there), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(there), "accepted": False}
    assert there.is_file() and not (artifact / "report.html").exists()


def test_where_it_cannot_be_written(
    artifact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(artifact), "-o", str(tmp_path / "no" / "x.html")]) == 3
    assert "remedy" in capsys.readouterr().err


def test_no_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"] == "report-input"


def test_open_shows_the_file(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: shown.append(url) or True)
    assert main(["report", str(artifact), "--open"]) == 0
    assert shown == [(artifact / "report.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert main(["report", str(artifact), "--open"]) == 4
