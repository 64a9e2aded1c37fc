"""The folder that a build leaves: ``<out>/<name>-<version>-<build>/``. All appears by rename."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from asrpack.errors import ToolchainError
from asrpack.pipeline.digest import digest_path

_PARTIAL = ".partial-"


class Artifact:
    """One build's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "logs"

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the folder against other builds; clears what one that was stopped left."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ToolchainError(
                f"cannot write there: {error.strerror}",
                code="artifact-unwritable",
                place=str(self.folder),
                remedy="choose another folder with --out",
            ) from None
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ToolchainError(
                "another build is writing this artifact",
                code="artifact-busy",
                place=str(self.folder),
                remedy="wait for it, or build into another folder with --out",
            ) from None
        try:
            self._clear()
            yield
        finally:
            self._clear()
            lock.release()

    def _clear(self) -> None:
        for item in self.folder.glob(f"{_PARTIAL}*"):
            _remove(item)

    def previous(self) -> Mapping[str, Mapping[str, Any]]:
        """Components by stage as of the last build; empty where there was none."""
        try:
            record = json.loads((self.folder / "asrpack.lock").read_bytes())
            return {name: item["components"] for name, item in record["stages"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def place(self, source: Path, name: str) -> Path:
        """Copies a file or folder in under ``name``, replacing an older one in one step."""
        final = self.folder / name
        if final.exists() and digest_path(final) == digest_path(source):
            return final
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
        staged = partial / "new"
        if source.is_dir():
            shutil.copytree(source, staged)
        else:
            shutil.copyfile(source, staged)
        self._swap(staged, final, partial)
        return final

    def take(self, source: Path, name: str) -> Path:
        """Moves a folder of :meth:`workspace` in under ``name``, replacing an older one."""
        final = self.folder / name
        self._swap(source, final, Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder)))
        return final

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty folder on the same disk, gone afterwards; after a kill, with the next build."""
        with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=self.folder) as folder:
            yield Path(folder)

    def write(self, name: str, data: str | bytes) -> None:
        """Writes a file in one step, text in UTF-8."""
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self.folder))
        (partial / "new").write_bytes(data.encode() if isinstance(data, str) else data)
        self._swap(partial / "new", self.folder / name, partial)

    def discard(self, name: str) -> None:
        """Removes what an earlier build left under ``name``."""
        _remove(self.folder / name)

    def _swap(self, staged: Path, final: Path, partial: Path) -> None:
        if final.is_dir():
            final.rename(partial / "old")
        staged.replace(final)
        shutil.rmtree(partial)


def clear_all(folder: Path) -> None:
    """Clears what was stopped in any artifact in a folder, those that are written apart."""
    for left in {item.parent for item in folder.glob(f"*/{_PARTIAL}*")}:
        with contextlib.suppress(ToolchainError), Artifact(left).exclusive():
            pass


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
