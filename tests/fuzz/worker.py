"""Fuzzes one reader: coverage-guided, by Atheris (libFuzzer). Never returns.

    python -m tests.fuzz.worker READER CORPUS_FOLDER RUNS SEED

libFuzzer ends it after RUNS inputs, or at the first crash, hang of 5 s or 512 MB of memory.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        *("asrpack.bundle", "asrpack.runtime.licence_state"),
        *("asrpack.recipe.customers", "asrpack.trace.customers"),
    ]
):
    from tests.fuzz.readers import READERS, REFUSALS, seeds
from tests.fuzz.mutations import mutate

MAX_LENGTH = 1 << 14
HANG_SECONDS = 5
MEMORY_MB = 512


def main(name: str, corpus: Path, runs: int, seed: int) -> None:
    """See the module's text."""
    read = READERS[name].read
    for number, data in enumerate(seeds(name)):
        (corpus / f"seed-{number}").write_bytes(data)
    tally = {"accepted": 0, "refused": 0}

    def one(data: bytes) -> None:
        try:
            read(data)
            tally["accepted"] += 1
        except REFUSALS:
            tally["refused"] += 1

    def change(data: bytes, limit: int, chance: int) -> bytes:
        draw = random.Random(chance)
        changed = mutate(data, draw) if draw.random() < 0.8 else None
        return atheris.Mutate(data, limit) if changed is None else changed[:limit]

    options = {
        "runs": runs,
        "seed": seed,
        "max_len": MAX_LENGTH,
        "timeout": HANG_SECONDS,
        "rss_limit_mb": MEMORY_MB,
        "print_final_stats": 1,
        "verbosity": 0,
        "artifact_prefix": f"{corpus.parent}/found-",
    }
    flags = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([sys.argv[0], str(corpus), *flags], one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    # libFuzzer asks getrusage for the peak, which counts what the parent had before exec, too; a
    # fork's begins anew.
    if child := os.fork():
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0)
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
