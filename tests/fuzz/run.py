"""Fuzzes one reader in a child process and reads what libFuzzer says of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

FINDINGS = Path(tempfile.gettempdir()) / "asrpack-fuzz-findings"
# A reader of files reads each input from one.
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_STATS = re.compile(r"stat::(\w+):\s+(\d+)")


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        inputs: executed.
        corpus: inputs kept because each reached something new.
        peak_mb: resident memory of the process, the interpreter's own included.
        finding: the log's end where it crashed, hung or took too much memory; else None.
    """

    reader: str
    inputs: int
    corpus: int
    peak_mb: int
    finding: str | None


def fuzz(reader: str, runs: int, seed: int = 1) -> Outcome:
    """Fuzzes with ``runs`` inputs; what breaks the reader is kept in :data:`FINDINGS`."""
    with tempfile.TemporaryDirectory(prefix="asrpack-fuzz-", dir=_MEMORY) as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.worker", reader, str(corpus), str(runs), str(seed)],
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"TMPDIR": folder},
        )
        log = done.stdout + done.stderr
        stats = {name: int(value) for name, value in _STATS.findall(log)}
        for found in Path(folder).glob("found-*"):
            FINDINGS.mkdir(exist_ok=True)
            (FINDINGS / f"{reader}-{found.name}").write_bytes(found.read_bytes())
        return Outcome(
            reader,
            stats.get("number_of_executed_units", 0),
            len(list(corpus.iterdir())),
            stats.get("peak_rss_mb", 0),
            None if done.returncode == 0 else log[-4000:],
        )
