"""``bench``, behind its flags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from asrpack.errors import UsageError
from asrpack.runtime.bench.job import Job
from asrpack.runtime.bench.run import Plan, measure_bundle
from asrpack.runtime.bench.table import table
from asrpack.runtime.console import say


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
    if min(starts, rounds) < 1 or minutes < 0 or seconds <= 0:
        raise UsageError(
            "at least one start, one round and some seconds are measured",
            code="usage",
            remedy="leave out the long recording with --minutes 0, the load with --clients ''",
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
