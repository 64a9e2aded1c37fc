"""Manifests: which recordings there are and what is said in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack.errors import AsrpackError, ErrorGroup, InputError

MAX_SHOWN = 20
_FORM = 'write one object a line: {"audio": "a.wav", "text": "what is said"}'


@dataclass(frozen=True)
class Utterance:
    """One recording and its reference text.

    Attributes:
        id: ``utt`` of the manifest, or the audio's path as the manifest has it.
        audio: absolute path.
    """

    id: str
    audio: Path
    text: str


def read_manifest(path: Path, *, allow_empty: bool = False) -> list[Utterance]:
    """Reads JSON lines with ``audio`` (or PaddleSpeech's ``feat``), ``text`` and perhaps ``utt``.

    Other keys (``duration``, ``utt2spk``…) are passed over, as other tools write them. Relative
    audio paths are relative to the manifest.

    Args:
        path: of the manifest.
        allow_empty: whether a text may be empty, as that of a recording of silence is.

    Raises:
        InputError: the file cannot be read, or has no utterance.
        ErrorGroup: everything wrong in it by ``file:line``, at most 20 faults and how many more.
    """
    lines = _lines(path)
    utterances: list[Utterance] = []
    first_line: dict[str, int] = {}
    faults: list[AsrpackError] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            utterance = _utterance(line, path.parent, allow_empty)
            if (earlier := first_line.setdefault(utterance.id, number)) != number:
                raise _LineError(
                    f"the utterance `{utterance.id}` is on line {earlier} already",
                    "give each line its own `utt`",
                )
            utterances.append(utterance)
        except _LineError as fault:
            faults.append(
                InputError(
                    fault.message,
                    code="manifest-line",
                    place=f"{path}:{number}",
                    remedy=fault.remedy,
                )
            )
    if faults:
        raise ErrorGroup(_capped(faults, path))
    if not utterances:
        raise InputError(
            "the manifest has no utterance", code="manifest-empty", place=str(path), remedy=_FORM
        )
    return utterances


def overlap(
    first: Iterable[Utterance], second: Iterable[Utterance]
) -> list[tuple[Utterance, Utterance]]:
    """Pairs of utterances, one of each set, whose audio files have the same content.

    Content is what is heard: samples, rate and channels, so the same recording under another
    name or in another lossless format is found. What cannot be decoded is compared by its bytes.
    """
    by_length: dict[tuple[int, ...], list[Utterance]] = {}
    for utterance in first:
        by_length.setdefault(_length(utterance.audio), []).append(utterance)
    digests: dict[Path, str] = {}
    pairs: list[tuple[Utterance, Utterance]] = []
    for other in second:
        # Recordings of different lengths differ: few have to be decoded.
        for one in by_length.get(_length(other.audio), ()):
            if _digest(one.audio, digests) == _digest(other.audio, digests):
                pairs.append((one, other))
                break
    return pairs


def _length(path: Path) -> tuple[int, ...]:
    """Samples, rate and channels, from the file's head; or the file's size."""
    import soundfile

    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError):
        return (path.stat().st_size,)
    return info.frames, info.samplerate, info.channels


def _digest(path: Path, known: dict[Path, str]) -> str:
    import soundfile

    if path not in known:
        try:
            samples, _ = soundfile.read(path, dtype="int32")
            known[path] = hashlib.sha256(samples.tobytes()).hexdigest()
        except (soundfile.SoundFileError, OSError):
            with path.open("rb") as stream:
                known[path] = hashlib.file_digest(stream, "sha256").hexdigest()
    return known[path]


class _LineError(Exception):
    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot read the manifest: {cause}",
            code="manifest-unreadable",
            place=str(path),
            remedy="check the path; it is relative to the recipe",
        ) from None
    try:
        # Not splitlines(): U+2028 and its like may stand inside a JSON string.
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            code="manifest-encoding",
            place=f"{path}:{line}",
            remedy="save the manifest as UTF-8",
        ) from None


def _utterance(line: str, base: Path, allow_empty: bool) -> Utterance:
    record = _record(line)
    key = next((name for name in ("audio", "feat") if name in record), None)
    if key is None:
        raise _LineError("`audio` is missing (or PaddleSpeech's `feat`)", _FORM)
    name, text = _text(record, key), _text(record, "text", allow_empty)
    audio = (base / name).absolute()
    size = _size(audio)
    if size is None:
        missing = f"there is no audio file {audio}"
        rule = "relative audio paths are relative to the manifest"
        if _size(Path(name)) is not None:
            raise _LineError(
                f"{missing}, but there is one relative to the working directory",
                f"{rule}: write it in {Path.cwd()}, or with absolute paths, as `run` does where "
                "it is given them",
            )
        raise _LineError(missing, rule)
    if size == 0:
        raise _LineError(
            f"the audio file {audio} is empty", "record it again, or take the line out"
        )
    return Utterance(_text(record, "utt") if "utt" in record else name, audio, text)


def _size(file: Path) -> int | None:
    """In bytes; None where there is no such file."""
    try:
        return file.stat().st_size if file.is_file() else None
    except (OSError, ValueError):  # a name too long, a NUL in it
        return None


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _LineError(f"not JSON: {error}", _FORM) from None
    if not isinstance(record, dict):
        raise _LineError("not a JSON object", _FORM)
    return record


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is given twice")
    return record


def _text(record: dict[str, Any], key: str, allow_empty: bool = False) -> str:
    value = record.get(key)
    if value is None:
        raise _LineError(f"`{key}` is missing", _FORM)
    if not isinstance(value, str):
        raise _LineError(f"`{key}` must be text in quotes", _FORM)
    if not value.strip() and not allow_empty:
        raise _LineError(f"`{key}` is empty", f"fill in `{key}`, or take the line out")
    return value


def _capped(faults: list[AsrpackError], path: Path) -> list[AsrpackError]:
    if len(faults) <= MAX_SHOWN:
        return faults
    more = len(faults) - MAX_SHOWN
    rest = InputError(
        f"and {more} more faulty lines",
        code="manifest-more",
        place=str(path),
        remedy="mend those above first",
    )
    return [*faults[:MAX_SHOWN], rest]
