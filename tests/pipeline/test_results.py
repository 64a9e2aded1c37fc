"""What a build leaves beside the bundle: placed whole, and nothing of an earlier build kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asrpack.pipeline.artifact import Artifact
from asrpack.pipeline.cache import Entry
from asrpack.pipeline.results import place_accepted, place_rejected
from tests.report.example import EVALUATION, GATE, LOCK, SEARCH


def entry(folder: Path, files: Mapping[str, Any]) -> Entry:
    (folder / "out" / "onnx").mkdir(parents=True)
    (folder / "out" / "onnx" / "encoder.onnx").write_bytes(b"graph")
    for name, value in files.items():
        (folder / "out" / name).write_text(json.dumps(value), encoding="utf-8")
    return Entry(folder, {}, dict.fromkeys((*files, "onnx"), "digest"), 0.0)


@pytest.fixture
def entries(tmp_path: Path) -> dict[str, Entry]:
    """Of a build whose quantize stage searched."""
    return {
        "quantize": entry(tmp_path / "quantize", {"search.json": SEARCH, "kept_fp32.json": []}),
        "evaluate": entry(tmp_path / "evaluate", {"evaluation.json": EVALUATION}),
        "gate": entry(tmp_path / "gate", {"gate.json": GATE}),
    }


RESULTS = {
    *("evaluation.json", "gate.json", "kept_fp32.json", "search.json"),
    *("asrpack.lock", "report.html", "recipe.yaml"),
}


def test_a_search_is_placed_and_reported(tmp_path: Path, entries: dict[str, Entry]) -> None:
    artifact = Artifact(tmp_path / "artifact")
    with artifact.exclusive():
        place_accepted(artifact, LOCK, b"schema: 1\n", entries)
    assert {path.name for path in artifact.folder.iterdir()} == {".lock", *RESULTS}
    assert "int8, 2 kept" in (artifact.folder / "report.html").read_text(encoding="utf-8")


def test_an_earlier_search_does_not_stay(tmp_path: Path, entries: dict[str, Entry]) -> None:
    artifact = Artifact(tmp_path / "artifact")
    plain = entries | {"quantize": entry(tmp_path / "plain", {"kept_fp32.json": []})}
    with artifact.exclusive():
        place_accepted(artifact, LOCK, b"schema: 1\n", entries)
        place_accepted(artifact, LOCK, b"schema: 1\n", plain)
    assert not (artifact.folder / "search.json").exists()
    assert "2 kept" not in (artifact.folder / "report.html").read_text(encoding="utf-8")


def test_a_rejected_candidate_takes_the_accepted_ones_place(
    tmp_path: Path, entries: dict[str, Entry]
) -> None:
    artifact = Artifact(tmp_path / "artifact")
    with artifact.exclusive():
        place_accepted(artifact, LOCK, b"schema: 1\n", entries)
        kept = place_rejected(artifact, LOCK, b"schema: 1\n", entries)
    assert {path.name for path in kept.iterdir()} == {"onnx", *RESULTS}
    # The lock stays: by it, the next plan says what changed.
    assert {p.name for p in artifact.folder.iterdir()} == {".lock", "asrpack.lock", "rejected"}
