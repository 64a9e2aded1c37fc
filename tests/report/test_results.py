"""Artifacts that cannot be reported on: an error with place, cause and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrpack.errors import InputError
from asrpack.report.html import render_report
from tests.report.example import change, write_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write_artifact(tmp_path / "artifact")


def refused(folder: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        render_report(folder)
    assert caught.value.remedy and caught.value.place
    return caught.value


def test_no_artifact(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").code == "report-input"


def test_only_a_rejected_candidate(tmp_path: Path) -> None:
    rejected = write_artifact(tmp_path / "artifact" / "rejected")
    error = refused(rejected.parent)
    assert error.code == "report-rejected" and str(rejected) in str(error.remedy)
    assert "<!doctype html>" in render_report(rejected)


@pytest.mark.parametrize("name", ["gate.json", "asrpack.lock"])
def test_a_missing_file(artifact: Path, name: str) -> None:
    (artifact / name).unlink()
    assert name in str(refused(artifact).place)


@pytest.mark.parametrize("name", ["evaluation.json", "gate.json", "asrpack.lock", "search.json"])
@pytest.mark.parametrize(
    "text", ["", "{", '{"format": NaN}', "[]", "null", "\x00", "[" * 100_000, "{}"]
)
def test_a_damaged_file(artifact: Path, name: str, text: str) -> None:
    (artifact / name).write_text(text)
    refused(artifact)


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("evaluation.json", ("format",), 99),
        ("asrpack.lock", ("format",), 1),
        ("evaluation.json", ("methods",), []),
        ("evaluation.json", ("timing", "speedup"), "fast"),
        ("evaluation.json", ("timing", "speedup_range"), [1]),
        ("evaluation.json", ("memory", "baseline", "running", "peak"), 0),
        ("gate.json", ("checks", 0, "unit"), "parsecs"),
        ("search.json", ("stopped",), "whenever"),
    ],
    ids=str,
)
def test_a_file_of_another_version(
    artifact: Path, name: str, path: tuple[str | int, ...], value: object
) -> None:
    change(artifact, name, *path, to=value)
    assert refused(artifact).code == "report-version"
