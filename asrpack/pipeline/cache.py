"""Content-addressed store of stages' outputs, safe for several builds at a time.

``<root>/v1/<stage>/<key>/`` holds ``out/`` (the outputs), ``log.txt`` and ``entry.json`` (what
went in, the outputs' digests). An entry appears by one rename, so it is whole or absent. Work in
progress lies in ``<root>/v1/work/<key>.<random>/`` under a lock that dies with its process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from asrpack.errors import ToolchainError
from asrpack.pipeline.digest import canonical, digest_path

LAYOUT = "v1"


def default_root() -> Path:
    """``$ASRPACK_CACHE``, or the user's cache folder."""
    chosen = os.environ.get("ASRPACK_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("asrpack"))


@dataclass(frozen=True)
class Entry:
    """One finished run of a stage."""

    folder: Path
    components: Mapping[str, Any]
    outputs: Mapping[str, str]
    seconds: float

    def path(self, output: str) -> Path:
        return self.folder / "out" / output

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def is_whole(self) -> bool:
        """Whether every output still has the digest it was stored with."""
        try:
            return all(digest_path(self.path(name)) == d for name, d in self.outputs.items())
        except OSError:
            return False


class Cache:
    """See the module's text."""

    def __init__(self, root: Path) -> None:
        self.root = root / LAYOUT
        self._work = self.root / "work"
        self._locks = self.root / "locks"
        self._scratch = self.root / "scratch"
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            self._locks.mkdir(exist_ok=True)
        except OSError as error:
            raise ToolchainError(
                f"the cache cannot be used: {error.strerror}",
                code="cache-unwritable",
                place=str(root),
                remedy="set ASRPACK_CACHE to a folder that you can write to",
            ) from None

    def find(self, stage: str, key: str) -> Entry | None:
        """The entry, or None where there is none or its outputs were damaged."""
        folder = self.root / stage / key
        try:
            raw = json.loads((folder / "entry.json").read_bytes())
        except (OSError, ValueError):
            return None
        entry = Entry(folder, raw["components"], raw["outputs"], raw["seconds"])
        return entry if entry.is_whole() else None

    @contextlib.contextmanager
    def lock(self, key: str, waiting: Any = None) -> Iterator[None]:
        """Holds the key against other processes; calls ``waiting()`` once if it must wait."""
        lock = FileLock(self._locks / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if waiting is not None:
                waiting()
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def workspace(self, key: str) -> Iterator[Path]:
        """An empty folder to work in, gone afterwards. The key's lock must be held."""
        # Named before it is there: Ctrl-C may come at any time.
        folder = self._work / f"{key}.{uuid.uuid4().hex}"
        try:
            folder.mkdir(mode=0o700)
            (folder / "out").mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def scratch(self, key: str) -> Path:
        """A folder that outlives a killed run, until the key is stored. Its lock must be held."""
        folder = self._scratch / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def store(
        self,
        workspace: Path,
        stage: str,
        key: str,
        components: Mapping[str, Any],
        seconds: float,
        outputs: tuple[str, ...],
    ) -> Entry:
        """Turns a finished workspace into the key's entry, by one rename."""
        digests = {name: digest_path(workspace / "out" / name) for name in outputs}
        entry = Entry(self.root / stage / key, components, digests, round(seconds, 3))
        record = {"components": components, "outputs": digests, "seconds": entry.seconds}
        for item in workspace.iterdir():
            if item.name not in ("out", "log.txt"):
                shutil.rmtree(item)
        with (workspace / "entry.json").open("wb") as stream:
            stream.write(canonical(record))
            stream.flush()
            os.fsync(stream.fileno())
        entry.folder.parent.mkdir(exist_ok=True)
        replaced = self._work / f"{key}.replaced-{os.getpid()}"
        if entry.folder.exists():  # forced, or damaged
            entry.folder.rename(replaced)
        workspace.rename(entry.folder)
        shutil.rmtree(replaced, ignore_errors=True)
        shutil.rmtree(self._scratch / key, ignore_errors=True)
        return entry

    def sweep(self) -> None:
        """Removes the work that killed builds left behind."""
        for folder in self._work.iterdir():
            lock = FileLock(self._locks / f"{folder.name.split('.')[0]}.lock")
            with contextlib.suppress(Timeout), lock.acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
