"""In which format transcripts are told, and where."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from asrpack.errors import UsageError
from asrpack.runtime.batch import Put
from asrpack.runtime.console import say
from asrpack.runtime.formats import to_ctm, to_srt, to_text, to_vtt
from asrpack.runtime.output_folder import OutputFolder
from asrpack.runtime.recordings import NamedAudio, output_names, possible_names
from asrpack.runtime.transcripts import Transcript

# Documents of one recording each.
SUBTITLES = frozenset({"srt", "vtt"})
FORMATS = ("text", "json", "ctm", *sorted(SUBTITLES))


@dataclass(frozen=True)
class Layout:
    """In which format, and where.

    Attributes:
        form: one of :data:`FORMATS`.
        folder: of the files; None for standard output.
        overwrite: files that are there.
    """

    form: str = "text"
    folder: Path | None = None
    overwrite: bool = False

    @property
    def needs_names(self) -> bool:
        """Whether recordings need names that tell them apart."""
        return self.folder is not None or self.form == "ctm"

    @property
    def needs_times(self) -> bool:
        """Whether the format tells when each word was spoken."""
        return self.form in SUBTITLES | {"ctm"}

    def check(self, recordings: Sequence[NamedAudio]) -> None:
        """Refuses what cannot be laid out so.

        Raises:
            UsageError: subtitles of several recordings in one stream, or two recordings that
                would have one name.
        """
        self._names(recordings)
        if self.folder is None and self.form in SUBTITLES and len(recordings) > 1:
            raise UsageError(
                f"{self.form} is a document of one recording, and here are {len(recordings)}",
                code="usage",
                remedy="give a folder for the documents with -o",
            )

    @contextmanager
    def open(
        self, recordings: Sequence[NamedAudio], options: Mapping[str, Any]
    ) -> Iterator[Callable[[NamedAudio], Put | None]]:
        """What :func:`asrpack.runtime.batch.transcribe_all` asks where a transcript goes.

        Args:
            options: as for :class:`OutputFolder`.

        Raises:
            InputError, ToolchainError: the folder cannot be written.
        """
        names = self._names(recordings)
        if self.folder is None:
            yield lambda recording: partial(self._print, names.get(recording, recording.within))
            return
        options = {"format": self.form, **options}
        with OutputFolder(self.folder, options, overwrite=self.overwrite) as folder:
            self._tell_of_doubles(names, folder)

            def claim(recording: NamedAudio) -> Put | None:
                name = names[recording]
                write = folder.claim(name, recording.path)
                if write is None:
                    return None
                return lambda transcript: write(self._document(name, transcript))

            yield claim

    def _names(self, recordings: Sequence[NamedAudio]) -> Mapping[NamedAudio, PurePath]:
        """None where they need none."""
        if not self.needs_names:
            return {}
        return dict(zip(recordings, output_names(recordings, self._suffix), strict=True))

    def _tell_of_doubles(self, names: Mapping[NamedAudio, PurePath], folder: OutputFolder) -> None:
        """Warns of transcripts from when a recording had no other of its name beside it, or had."""
        taken = set(names.values())
        for recording, name in names.items():
            for other in possible_names(recording, self._suffix):
                if other not in taken and folder.holds(other, recording.path):
                    say(
                        f"asrpack: warning: {self.folder}: {other} is an earlier transcript of "
                        f"{recording.path}, which is called {name} beside these recordings; "
                        "remove it",
                        error=True,
                    )

    @property
    def _suffix(self) -> str:
        return ".txt" if self.form == "text" else f".{self.form}"

    def _print(self, name: PurePath, transcript: Transcript) -> None:
        if self.form == "text":
            say(f"{transcript.audio}: {transcript.text}".rstrip())
        else:
            say(self._document(name, transcript).removesuffix("\n"))

    def _document(self, name: PurePath, transcript: Transcript) -> str:
        match self.form:
            case "text":
                return to_text(transcript.spoken)
            case "json":
                return json.dumps(transcript.as_dict(), ensure_ascii=False) + "\n"
            case "srt":
                return to_srt(transcript.spoken)
            case "vtt":
                return to_vtt(transcript.spoken)
            case _:
                return to_ctm(transcript.spoken, str(name).removesuffix(self._suffix))


def choose_layout(
    form: str | None, *, as_json: bool, folder: Path | None, overwrite: bool
) -> Layout:
    """The layout that flags ask for.

    Args:
        form: one of :data:`FORMATS`; None for text, or JSON with ``as_json``.
        folder, overwrite: as for :class:`Layout`.

    Raises:
        UsageError: there is no such format, or the flags contradict each other.
    """
    form = form or ("json" if as_json else "text")
    if form not in FORMATS:
        raise UsageError(
            f"there is no format {form!r}",
            code="usage",
            remedy=f"choose one of {', '.join(FORMATS)}",
        )
    if as_json and form != "json":
        raise UsageError(f"--json and --format {form}", code="usage", remedy="give one of them")
    if overwrite and folder is None:
        raise UsageError("--overwrite is for files", code="usage", remedy="give a folder with -o")
    return Layout(form, folder, overwrite)
