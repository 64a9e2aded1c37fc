"""Measurements in processes of their own: what one is asked, and what it answers.

Protocol: the job is one JSON object on standard input, the answer one on standard output, with
``error`` where it failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from asrpack.errors import AsrpackError, ToolchainError

CHILD = "asrpack.runtime.bench.child"


@dataclass(frozen=True)
class Job:
    """What a child opens, and what it measures.

    Attributes:
        kind: ``start``, ``verify``, ``files``, ``long`` or ``load``.
        bundle, identity, trust, licence: as the command line has them.
        audio: files; none for the bundle's golden utterances.
        decode: the method; None for the model's own.
        threads: per operator; 0 for the machine's physical cores.
        rounds: of all recordings.
        seconds: of audio, for ``long``; of time for each level, for ``load``.
        clients: for ``load``.
        began: when the child was started (``time.monotonic``).
    """

    kind: str
    bundle: str
    identity: str | None
    trust: tuple[str, ...]
    licence: str | None
    audio: tuple[str, ...]
    decode: str | None
    threads: int = 0
    rounds: int = 5
    seconds: float = 0.0
    clients: tuple[int, ...] = ()
    began: float = 0.0

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Job:
        """What :func:`run_job` sends."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()
        }
        return cls(**values)


def run_job(job: Job, *, quiet: bool) -> dict[str, Any]:
    """Runs a child.

    Args:
        quiet: keep its warnings back.

    Raises:
        AsrpackError: as the child's.
        ToolchainError: it died.
    """
    # The clock is the same in both processes.
    told = json.dumps(asdict(replace(job, began=time.monotonic())))
    with subprocess.Popen(
        [sys.executable, "-P", "-B", "-m", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
    ) as child:
        try:
            out, _ = child.communicate(told)
        except BaseException:
            child.kill()
            raise
    try:
        answer: dict[str, Any] = json.loads(out)
    except ValueError:
        raise ToolchainError(
            f"the process that measures died with exit code {child.returncode}",
            code="bench-died",
            place=job.kind,
            remedy="free memory, or measure less at a time",
        ) from None
    if "error" in answer:
        raise _as_error(answer["error"])
    return answer


def _as_error(told: dict[str, Any]) -> AsrpackError:
    error = AsrpackError(
        told["message"], code=told["code"], place=told["path"], remedy=told["remedy"]
    )
    error.exit_code = told["exit_code"]  # type: ignore[misc]
    return error
