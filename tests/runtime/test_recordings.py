"""Which recordings a command line names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asrpack.errors import InputError
from asrpack.runtime.recordings import find_recordings


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_folders_that_are_linked(tmp_path: Path) -> None:
    """With all that they link to, each once, under its own name where it has one."""
    given, real = tmp_path / "given", tmp_path / "real"
    touch(given / "z/a.wav", given / "notes.txt", real / "deep/b.wav", real / "c.txt")
    (given / "more").symlink_to("../real")
    (given / "again").symlink_to(real)
    (given / "above").symlink_to(given / "z")
    (real / "deep/loop").symlink_to("..")
    (real / "back").symlink_to(given)
    found, others = find_recordings([given])
    assert [str(item.within) for item in found] == ["again/deep/b.wav", "z/a.wav"]
    assert others == 2
    found, others = find_recordings([given / "more"])
    assert [str(item.within) for item in found] == ["back/z/a.wav", "deep/b.wav"]


def test_a_folder_that_may_be_listed_and_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "given/a/b/c.wav")
    tmp_path.chmod(0o755)
    (tmp_path / "given/a").chmod(0o644)
    monkeypatch.chdir(tmp_path)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="cannot read the folder: Permission denied") as error:
            find_recordings([Path("given")])
    finally:
        if root:
            os.seteuid(0)
        (tmp_path / "given/a").chmod(0o755)
    assert error.value.place == "given/a/b"
