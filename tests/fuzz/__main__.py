"""Fuzzes the readers of everything that comes from outside.

python -m tests.fuzz                          # a million inputs for each reader
python -m tests.fuzz --runs 10000 --reader envelope
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.fuzz.readers import READERS
from tests.fuzz.run import FINDINGS, fuzz


def main() -> int:
    """The command line; 1 where a reader broke."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--reader", choices=sorted(READERS), action="append")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    broken = 0
    _say("| reader | inputs | of them new to it | peak memory | seconds | broke |")
    _say("| --- | --- | --- | --- | --- | --- |")
    for name in options.reader or sorted(READERS):
        began = time.monotonic()
        found = fuzz(name, options.runs, options.seed)
        seconds = time.monotonic() - began
        broke = "no" if found.finding is None else f"yes: {FINDINGS}"
        _say(
            f"| {name} | {found.inputs:,} | {found.corpus:,} | {found.peak_mb} MB "
            f"| {seconds:.0f} | {broke} |"
        )
        if found.finding is not None:
            broken = 1
            sys.stderr.write(found.finding + "\n")
    return broken


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
