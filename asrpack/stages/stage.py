"""What a stage is: a pure function of files, with all that its result depends on declared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Base of a stage's parameters: frozen, strict, part of the cache key as canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Context:
    """What a running stage may use besides its inputs.

    Attributes:
        progress: call with (done, total, text); shown live, cheap to call often.
        secrets: key material by the name that the plan gave it. Never write, log or return it.
        scratch: of a stage that ``resumes``, a folder that a killed run of the same inputs and
            parameters left; None where the stage is run outside a build.
        known: a result of the same inputs but one, which may spare work and changes no result.
    """

    progress: Callable[[int, int, str], None] = lambda done, total, text: None
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    scratch: Path | None = None
    known: Path | None = None


class Stage(ABC):
    """One step of a build.

    Attributes:
        name: as ``--until`` and ``--force`` take it.
        revision: raise it when ``run`` gives other bytes for the same inputs.
        outputs: files or folders, relative to ``out``, that ``run`` leaves there: all of them,
            nothing else.
        tools: distributions whose versions are part of the cache key.
        isolated: run in a child process with a clean environment (needed for Paddle, and to
            measure memory). Such a stage gets no secrets.
        timeout: seconds an isolated stage may take.
        resumes: takes long, and keeps in its scratch folder what it has so far.
        fresh: what keeps two runs on the same inputs from giving the same bytes, as the predicate
            of a sentence; empty where nothing does.
        measured: of a stage that is ``fresh`` in part of its JSON, a pattern of the paths
            (``timing.host.cpu``) that are; the rest is the same in every run.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1
    outputs: ClassVar[tuple[str, ...]]
    tools: ClassVar[tuple[str, ...]] = ()
    isolated: ClassVar[bool] = False
    timeout: ClassVar[float] = 3600.0
    resumes: ClassVar[bool] = False
    fresh: ClassVar[str] = ""
    measured: ClassVar[str | None] = None
    Params: ClassVar[type[Params]] = Params

    @abstractmethod
    def run(self, params: Any, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        """Reads ``inputs`` (never writes there), leaves ``outputs`` in the empty folder ``out``.

        Raises:
            AsrpackError: with place, cause and remedy.
        """

    def explain(self, log: str) -> str | None:
        """The cause of an isolated stage's death, read from its log; None where unknown."""
        return None
