"""A folder of transcripts that a run which was stopped goes on with."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Self

from asrpack.bundle.staged import staged
from asrpack.errors import AsrpackError, InputError, ToolchainError

JOURNAL = ".transcribed.jsonl"
# Whatever else is written there fails, too.
_FOR_ALL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class OutputFolder:
    """Writes transcripts whole or not at all, and remembers of what they are.

    The journal has a line for each transcript that is begun, and one when it is done: the size
    and time of the recording and the options. Of several lines the last one counts.

    Args:
        folder: made where it is not there.
        options: all that the text depends on, besides the recording.
        overwrite: write everything anew, files of others too.

    Raises:
        InputError: the folder cannot be written, or another run writes to it.
        ToolchainError: its disk is full or read-only.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any], *, overwrite: bool) -> None:
        self._folder, self._overwrite = folder, overwrite
        told = json.dumps(options, sort_keys=True).encode()
        self._options = hashlib.sha256(told).hexdigest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._journal = (folder / JOURNAL).open("a+b")
        except OSError as error:
            raise _unwritable(error, Path(error.filename or folder)) from None
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._journal.close()
            raise InputError(
                "another run writes to this folder",
                code="output-busy",
                place=str(folder),
                remedy="wait for it to end, or give another folder",
            ) from None
        self._known = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # of what could not be written, and is told
            self._journal.close()

    def claim(self, name: PurePath, recording: Path) -> Callable[[str], None] | None:
        """What puts the transcript of a recording there; None where it is there already.

        One that was edited since counts as there; what it returns raises as this does.

        Raises:
            InputError: a file is there that no run wrote, or it cannot be written.
            ToolchainError: nor can any other: the disk is full or read-only.
        """
        target, state = self._folder / name, self._state(recording)
        if os.path.lexists(target) and not self._overwrite:
            if str(name) not in self._known:
                raise InputError(
                    "the file is there already, and not of a run into this folder",
                    code="output-exists",
                    place=str(target),
                    remedy="move it away, or give --overwrite",
                )
            if state is not None and self._known[str(name)] == state:
                return None
        return partial(self._write, target, name, state)

    def holds(self, name: PurePath, recording: Path) -> bool:
        """Whether a run wrote it of that recording as it is, and it is there still."""
        known, state = self._known.get(str(name)), self._state(recording)
        same = isinstance(known, dict) and {**known, "options": self._options} == state
        return same and os.path.lexists(self._folder / name)

    def _write(
        self, target: Path, name: PurePath, state: Mapping[str, Any] | None, text: str
    ) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # File names need not be valid text.
            with staged(target, text.encode("utf-8", "backslashreplace"), 0o644) as part:
                self._note(name, None)
                # On the disk before the file has its name: without a line it is a stranger's.
                os.fsync(self._journal.fileno())
                part.replace(target)
            self._note(name, state)
        except OSError as error:
            raise _unwritable(error, target) from None

    def _state(self, recording: Path) -> dict[str, Any] | None:
        try:
            found = recording.stat()
        except OSError:  # standard input, or what cannot be read either
            return None
        return {"bytes": found.st_size, "modified": found.st_mtime_ns, "options": self._options}

    def _note(self, name: PurePath, state: Mapping[str, Any] | None) -> None:
        line = json.dumps({"output": str(name), "of": state})
        self._journal.write(line.encode() + b"\n")
        self._journal.flush()

    def _read(self) -> dict[str, Any]:
        self._journal.seek(0)
        known: dict[str, Any] = {}
        whole = True
        for line in self._journal:
            whole = line.endswith(b"\n")
            try:
                item = json.loads(line)
                known[item["output"]] = item["of"]
            except (ValueError, TypeError, KeyError):
                continue  # cut off or damaged, where the power went
        if not whole:
            self._journal.write(b"\n")
        return known


def _unwritable(error: OSError, target: Path) -> AsrpackError:
    told = {"code": "output-unwritable", "place": str(target)}
    cause = f"cannot write transcripts: {error.strerror}"
    if error.errno in _FOR_ALL:
        remedy = "make room, or the disk writable; the same command goes on where it stopped"
        return ToolchainError(cause, remedy=remedy, **told)
    return InputError(cause, remedy="check the path, its length and its permissions", **told)
