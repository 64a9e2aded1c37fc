"""The folder a build leaves: replaced in one step, held by one build, never filled by half."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrpack.errors import ToolchainError
from asrpack.pipeline.artifact import Artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return Artifact(tmp_path / "out" / "name-1-cpu")


def tree(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_a_folder_is_replaced_whole(artifact: Artifact, tmp_path: Path) -> None:
    with artifact.exclusive():
        artifact.place(tree(tmp_path / "one", a="1", b="2"), "bundle")
        artifact.place(tree(tmp_path / "two", a="3"), "bundle")
    assert [path.name for path in (artifact.folder / "bundle").iterdir()] == ["a"]
    assert (artifact.folder / "bundle" / "a").read_text() == "3"
    assert sorted(path.name for path in artifact.folder.iterdir()) == [".lock", "bundle"]


def test_copies_are_no_links(artifact: Artifact, tmp_path: Path) -> None:
    source = tree(tmp_path / "one", a="1")
    with artifact.exclusive():
        placed = artifact.place(source, "bundle")
    (source / "a").write_text("changed")
    assert (placed / "a").read_text() == "1"


def test_one_build_at_a_time(artifact: Artifact) -> None:
    with artifact.exclusive():
        other = Artifact(artifact.folder)
        with pytest.raises(ToolchainError, match="another build") as caught, other.exclusive():
            pass
        assert caught.value.remedy
    with artifact.exclusive():
        pass


def test_what_a_killed_build_left_is_cleared(artifact: Artifact) -> None:
    artifact.folder.mkdir(parents=True)
    tree(artifact.folder / ".partial-x", new="half")
    with artifact.exclusive():
        assert [path.name for path in artifact.folder.iterdir()] == [".lock"]


def test_a_damaged_lock_counts_as_none(artifact: Artifact) -> None:
    with artifact.exclusive():
        stages = {"import": {"components": {"params": {}}, "outputs": {}}}
        artifact.write("asrpack.lock", json.dumps({"stages": stages}))
        assert artifact.previous() == {"import": {"params": {}}}
        for text in ("", "[]", '{"stages": []}', "\x00"):
            artifact.write("asrpack.lock", text)
            assert artifact.previous() == {}


def test_a_file_in_the_way_is_an_error(artifact: Artifact) -> None:
    artifact.folder.parent.mkdir()
    artifact.folder.write_text("")
    refused = pytest.raises(ToolchainError, match="cannot write there")
    with refused as caught, artifact.exclusive():
        pass
    assert "--out" in (caught.value.remedy or "")
