"""``bench``, behind its flags."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from asrpack.errors import UsageError
from asrpack.runtime.bench.job import Job
from asrpack.runtime.bench.run import Plan, measure_bundle
from asrpack.runtime.bench.table import table
from asrpack.runtime.console import say

# Of the long recording: less is no text, and more than a year is no wish.
_LEAST_MINUTES, _MOST_MINUTES = 0.01, 525_600


def bench(
    bundle: Path,
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    licence: Path | None = None,
    audio: Sequence[Path] = (),
    decode: str | None = None,
    starts: int = 5,
    rounds: int = 5,
    minutes: float = 60.0,
    clients: str = "1,2,4,8",
    seconds: float = 10.0,
    threads: int = 0,
    as_json: bool = False,
) -> int:
    """Measures a bundle on this host, and prints a table or JSON.

    Args:
        audio: files and folders; none for the bundle's golden utterances.
        starts, rounds, minutes, seconds: see :class:`Plan`.
        clients: numbers with commas between; empty for no load.

    Returns:
        0.

    Raises:
        AsrpackError: as :func:`measure_bundle`; a flag's value that is none.
    """
    if min(starts, rounds) < 1 or not 0 < seconds < math.inf:
        raise UsageError(
            "at least one start, one round and some seconds are measured",
            code="usage",
            remedy="leave out the load with --clients ''",
        )
    if minutes != 0 and not _LEAST_MINUTES <= minutes <= _MOST_MINUTES:
        raise UsageError(
            f"a long recording has {_LEAST_MINUTES} to {_MOST_MINUTES} minutes, not {minutes:g}",
            code="usage",
            remedy="leave it out with --minutes 0",
        )
    plan = Plan(starts, rounds, minutes, _numbers(clients), seconds)
    job = Job(
        kind="",
        bundle=str(bundle),
        identity=identity,
        trust=tuple(map(str, trust)),
        licence=None if licence is None else str(licence),
        audio=tuple(map(str, audio)),
        decode=decode,
        threads=threads,
    )
    found = measure_bundle(job, plan, lambda next_: say(f"asrpack: {next_} …", error=True))
    say(json.dumps(found, indent=1) if as_json else table(found))
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    items = [item for item in text.split(",") if item]
    if not all(item.isdecimal() and int(item) for item in items):
        raise UsageError(
            f"{text!r} is no list of whole numbers from 1",
            code="usage",
            remedy="give --clients 1,2,4",
        )
    return tuple(map(int, items))
