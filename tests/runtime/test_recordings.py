"""Which recordings a command line names."""

from __future__ import annotations

from pathlib import Path

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
