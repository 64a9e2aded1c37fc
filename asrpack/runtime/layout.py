"""In which format transcripts are told, and where."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from asrpack.errors import UsageError
from asrpack.runtime.batch import Put
from asrpack.runtime.console import say
from asrpack.runtime.formats import to_ctm, to_srt, to_text, to_vtt
from asrpack.runtime.output_folder import OutputFolder
from asrpack.runtime.recordings import NamedAudio, output_names
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
    def needs_times(self) -> bool:
        """Whether the format tells when each word was spoken."""
        return self.form in SUBTITLES | {"ctm"}

    def check(self, recordings: Sequence[NamedAudio]) -> None:
        """Refuses what cannot be laid out so.

        Raises:
            UsageError: subtitles of several recordings in one stream, or two recordings whose
                files would have one name.
        """
        if self.folder is not None:
            self._names(recordings)
        elif self.form in SUBTITLES and len(recordings) > 1:
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
        if self.folder is None:
            yield lambda recording: self._print
            return
        names = dict(zip(recordings, self._names(recordings), strict=True))
        options = {"format": self.form, **options}
        with OutputFolder(self.folder, options, overwrite=self.overwrite) as folder:

            def claim(recording: NamedAudio) -> Put | None:
                write = folder.claim(names[recording], recording.path)
                return (
                    None if write is None else lambda transcript: write(self._document(transcript))
                )

            yield claim

    def _names(self, recordings: Sequence[NamedAudio]) -> Sequence[PurePath]:
        return output_names(recordings, ".txt" if self.form == "text" else f".{self.form}")

    def _print(self, transcript: Transcript) -> None:
        if self.form == "text":
            say(f"{transcript.audio}: {transcript.text}".rstrip())
        else:
            say(self._document(transcript).removesuffix("\n"))

    def _document(self, transcript: Transcript) -> str:
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
                return to_ctm(transcript.spoken, Path(transcript.audio).stem)


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
