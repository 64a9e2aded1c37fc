"""From the start of a process to its first text."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from asrpack.bundle.opening import read_sealed
from asrpack.runtime.bench.job import Job
from asrpack.runtime.bench.opened import open_for, sources
from asrpack.runtime.keyring import read_trust, trust_paths
from asrpack.runtime.transcripts import Wishes, transcribe_audio

# In their order; each is what passed since the one before.
PHASES = ("interpreter", "imports", "verify and decrypt", "sessions", "first text")


def measure_start(job: Job, *, entered: float, imported: float) -> dict[str, Any]:
    """What a run of one recording does, by phases.

    Args:
        entered: when this process ran its first line of Python (``time.monotonic``).
        imported: when it had imported what it runs.
    """
    marks = [job.began, entered, imported]
    opened = open_for(job, lambda phase: marks.append(time.monotonic()))
    marks.append(time.monotonic())
    source = sources(job, opened)[0]()
    wishes = Wishes(opened.description.decode.method)
    transcribe_audio(opened.recognizer, source, Path("-"), wishes)
    marks.append(time.monotonic())
    taken = [after - before for before, after in pairwise(marks)]
    return {"seconds": marks[-1] - marks[0], "phases": dict(zip(PHASES, taken, strict=True))}


def measure_verify(job: Job) -> dict[str, Any]:
    """Verification alone, which a run does while it decrypts."""
    trust = read_trust(trust_paths([Path(item) for item in job.trust]))
    began = time.monotonic()
    read_sealed(Path(job.bundle), trust)
    return {"seconds": time.monotonic() - began}
