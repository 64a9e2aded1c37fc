"""The audio that a command line names: files, folders, standard input."""

from __future__ import annotations

import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import BinaryIO, NoReturn

from asrpack.errors import InputError, UsageError

STDIN = Path("-")
# What libsndfile reads, by the ends of file names.
SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        *("aif", "aifc", "aiff", "au", "caf", "flac", "mp3", "nist"),
        *("oga", "ogg", "opus", "rf64", "snd", "sph", "w64", "wav"),
    )
)


@dataclass(frozen=True)
class NamedAudio:
    """One recording to transcribe.

    Attributes:
        path: of the file, as it was given or found; :data:`STDIN` for standard input.
        within: where it is in the folder that was given; of a file its name.
    """

    path: Path
    within: PurePath


def source_of(path: Path) -> Path | bytes | BinaryIO:
    """What :func:`asrpack.runtime.audio.stream_audio` takes; a pipe is read to its end for that.

    Raises:
        InputError: standard input is closed.
    """
    if path != STDIN:
        return path
    if sys.stdin is None:
        raise InputError(
            "standard input is closed",
            code="audio-unreadable",
            place=str(path),
            remedy="give it a recording: from a file with <, or through a pipe",
        )
    return sys.stdin.buffer if sys.stdin.buffer.seekable() else sys.stdin.buffer.read()


def find_recordings(given: Sequence[Path]) -> tuple[list[NamedAudio], int]:
    """Files and standard input as they are; of folders all files with a name of audio, sorted.

    Returns:
        The recordings, and how many other files were passed over.

    Raises:
        UsageError: standard input is named more than once.
        InputError: a folder cannot be read or has no audio in it.
    """
    if given.count(STDIN) > 1:
        raise UsageError("standard input can be read once", code="usage", remedy="give - once")
    found: list[NamedAudio] = []
    others = 0
    for path in given:
        if path == STDIN:
            found.append(NamedAudio(path, PurePath("stdin")))
        elif path.is_dir():
            files = sorted(_files(path))
            audio = [item for item in files if item.suffix.lower() in SUFFIXES]
            if not audio:
                raise InputError(
                    "the folder has no audio files in it",
                    code="audio-none",
                    place=str(path),
                    remedy=f"names of audio end in {', '.join(sorted(SUFFIXES))}; a file that has "
                    "another name can be given by itself",
                )
            found += [NamedAudio(item, item.relative_to(path)) for item in audio]
            others += len(files) - len(audio)
        else:
            found.append(NamedAudio(path, PurePath(path.name)))
    return found, others


def _files(folder: Path) -> Iterator[Path]:
    """All below it, those in folders that are linked too; no folder twice, or loops had no end.

    Links come last: what is also there without one has its own name, whatever is linked.
    """

    def refuse(error: OSError) -> NoReturn:
        raise InputError(
            f"cannot read the folder: {error.strerror}",
            code="audio-folder",
            place=str(error.filename),
            remedy="check its permissions",
        )

    seen: set[tuple[int, int]] = set()
    tops = deque([folder])
    while tops:
        for parent, folders, names in os.walk(tops.popleft(), onerror=refuse):
            try:
                place = Path(parent).stat()
            except OSError as error:
                refuse(error)
            if (place.st_dev, place.st_ino) in seen:
                folders.clear()
                continue
            seen.add((place.st_dev, place.st_ino))
            yield from (Path(parent, name) for name in names)
            folders.sort()
            # Not is_symlink(), which raises where it may not look.
            links = (name for name in folders if os.path.islink(Path(parent, name)))  # noqa: PTH114
            tops += [Path(parent, name) for name in links]


def possible_names(recording: NamedAudio, suffix: str) -> tuple[PurePath, PurePath]:
    """What it is called in :func:`output_names`, by itself and beside one of the same name."""
    within = recording.within
    return within.with_suffix(suffix), within.with_name(within.name + suffix)


def output_names(recordings: Sequence[NamedAudio], suffix: str) -> list[PurePath]:
    """A name for what is told of each: ``talk.srt`` for ``talk.wav``.

    Where two would get the same, they keep their whole names: ``talk.wav.srt``, ``talk.mp3.srt``.

    Raises:
        UsageError: that does not tell them apart either.
    """
    possible = [possible_names(item, suffix) for item in recordings]
    seen = Counter(short for short, _ in possible)
    names = [short if seen[short] == 1 else whole for short, whole in possible]
    (name, count) = Counter(names).most_common(1)[0]
    if count > 1:
        both = [str(item.path) for item, one in zip(recordings, names, strict=True) if one == name]
        raise UsageError(
            f"{both[0]} and {both[1]} would both be called {name}",
            code="output-twice",
            remedy="give a folder that both are below, or transcribe them apart",
        )
    return names
