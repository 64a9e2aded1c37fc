"""What a build tells while it runs, and the three ways to show it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Literal, Self

Kind = Literal["build", "cached", "start", "progress", "done", "failed", "note", "result"]


@dataclass(frozen=True)
class Event:
    """One event. ``seconds`` is how long a done stage took."""

    kind: Kind
    build: str
    stage: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0


Listener = Callable[[Event], None]


class JsonLines:
    """One JSON object a line on standard output."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        sys.stdout.write(json.dumps(asdict(event), ensure_ascii=False) + "\n")
        sys.stdout.flush()


class PlainLines:
    """Lines on standard error without control characters, for logs and CI."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        if line := _line(event):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


class Terminal:
    """A live line for the running stage below the finished ones."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: int | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        from rich.progress import TaskID

        if event.kind == "start":
            self._task = self._progress.add_task(event.stage, total=None, text="")
        elif event.kind == "progress" and self._task is not None:
            self._progress.update(
                TaskID(self._task), completed=event.done, total=event.total or None, text=event.text
            )
        if event.kind in ("done", "failed") and self._task is not None:
            self._progress.remove_task(TaskID(self._task))
            self._task = None
        if event.kind != "start" and (line := _line(event)):
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


def listener(as_json: bool) -> JsonLines | PlainLines | Terminal:
    """The fitting one: JSON if asked, live on a terminal, plain lines elsewhere."""
    if as_json:
        return JsonLines()
    return Terminal() if sys.stderr.isatty() else PlainLines()


def _line(event: Event) -> str | None:
    stage = f"  {event.stage:<10}"
    match event.kind:
        case "build" | "note" | "result":
            return event.text
        case "cached":
            return f"{stage} cached"
        case "start":
            return f"{stage} runs: {event.text}"
        case "done":
            return f"{stage} done in {event.seconds:.1f} s"
        case "failed":
            return f"{stage} failed"
        case _:
            return None
