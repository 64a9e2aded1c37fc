"""One measurement, in a process that does nothing else: see :mod:`asrpack.runtime.bench.job`."""

from __future__ import annotations

import time

ENTERED = time.monotonic()

import json  # noqa: E402 - what comes before is how long the interpreter took
import sys  # noqa: E402
from typing import Any  # noqa: E402

from asrpack.errors import AsrpackError, ErrorGroup  # noqa: E402


def main() -> None:
    """Answers on standard output."""
    raw = json.load(sys.stdin)
    try:
        answer = _measure(raw)
    except AsrpackError as error:
        first = error.errors[0] if isinstance(error, ErrorGroup) else error
        answer = {"error": first.as_dict()}
    json.dump(answer, sys.stdout)


def _measure(raw: dict[str, Any]) -> dict[str, Any]:
    # As a bundle's command line does, before anything else of it.
    from asrpack.runtime import commands  # noqa: F401

    imported = time.monotonic()
    from asrpack.runtime.bench.job import Job

    job = Job.from_json(raw)
    if job.kind == "start":
        from asrpack.runtime.bench.cold_start import measure_start

        return measure_start(job, entered=ENTERED, imported=imported)
    if job.kind == "verify":
        from asrpack.runtime.bench.cold_start import measure_verify

        return measure_verify(job)
    from asrpack.runtime.bench import steady

    kinds = {
        "files": steady.measure_files,
        "long": steady.measure_long,
        "load": steady.measure_load,
    }
    return kinds[job.kind](job)


if __name__ == "__main__":
    main()
