"""Shows every hostile input to everything that reads bundles, and prints what it took.

python -m tests.hostile [GROUP …] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from tests.hostile.cases import GROUPS
from tests.hostile.run import Outcome, run_group


def main() -> int:
    """Returns 0 where all were refused as they must be, within the bounds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--json", action="store_true", help="print an object for each run")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    outcomes: list[Outcome] = []
    if not options.json:
        _say("| group | cases | runs | most CPU | most memory | not as it must be |")
        _say("| --- | --- | --- | --- | --- | --- |")
    for group in options.groups or GROUPS:
        done = run_group(group, GROUPS[group])
        outcomes += done
        if options.json:
            for item in done:
                _say(json.dumps(asdict(item)))
        else:
            _say(_row(group, done))
    faults = [item for item in outcomes if item.fault]
    if not options.json:
        _say(_row("all", outcomes))
    for item in faults:
        sys.stderr.write(f"{item.group} / {item.case} / {item.entrance}: {item.fault}\n")
    return 1 if faults else 0


def _row(group: str, outcomes: Sequence[Outcome]) -> str:
    slowest = max(outcomes, key=lambda item: item.seconds)
    largest = max(outcomes, key=lambda item: item.megabytes)
    cases = len({(item.group, item.case) for item in outcomes})
    faults = sum(item.fault is not None for item in outcomes)
    return (
        f"| {group} | {cases:,} | {len(outcomes):,} | {slowest.seconds:.2f} s: {slowest.case} "
        f"| {largest.megabytes:.0f} MB: {largest.case} | {faults} |"
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
