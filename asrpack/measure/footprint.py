"""Peak memory and cold start of a model, each measured in a process that has nothing else in it.

The child imports the runtime alone, as a host that runs a bundle does. Its graphs come from files
in the clear, in memory as a bundle's decrypted ones are; opening a bundle adds a few MiB.

Protocol: the job is one JSON object on standard input, the result one on standard output.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asrpack.errors import ToolchainError

ROUNDS = 3


@dataclass(frozen=True)
class Job:
    """What a child does: loads the model, transcribes the recordings one after the other.

    Attributes:
        description: ``model.json``.
        graphs: folder of the graphs' files.
        recordings: the first one's text ends the cold start.
        method: of decoding.
        threads: as for :class:`asrpack.runtime.recognizer.Recognizer`.
        language_model: where the method needs one.
        target: what runs them.
    """

    description: Path
    graphs: Path
    recordings: tuple[Path, ...]
    method: str
    threads: int = 0
    language_model: Path | None = None
    target: str = "onnxruntime"


@dataclass(frozen=True)
class Footprint:
    """One process.

    Attributes:
        runtime: peak resident bytes with the runtime imported and no model loaded.
        loading: the same of the whole process until the model is loaded.
        running: the same from then on.
        cold_start: seconds from the start of the process to the first text.
    """

    runtime: int
    loading: int
    running: int
    cold_start: float


def measures_memory() -> bool:
    """Whether this system tells a process's peak: Linux does."""
    return sys.platform == "linux"


def measure_footprints(
    jobs: Mapping[str, Job], progress: Callable[[int], None] = lambda done: None
) -> dict[str, Any]:
    """Runs each job :data:`ROUNDS` times, in turn, each time in a process of its own.

    The graphs should have been read before, so that all find them in the page cache.

    Returns:
        ``memory``: bytes by job, medians over the rounds: ``runtime``, then ``loading`` and
        ``running`` with the ``peak`` of the whole process and ``model``, the part of it above
        ``runtime``; ``peak`` is the greater of both. ``cold_start``: ``seconds`` by job, the
        median, and the least and greatest as ``range``.

    Raises:
        ToolchainError: a process died, or this system does not tell a process's peak memory.
    """
    found: dict[str, list[Footprint]] = {name: [] for name in jobs}
    for index in range(ROUNDS):
        for name, job in jobs.items():
            found[name].append(measure_once(job))
        progress(index + 1)
    return {
        "memory": {"rounds": ROUNDS, **{name: _memory(items) for name, items in found.items()}},
        "cold_start": {"rounds": ROUNDS, **{name: _start(items) for name, items in found.items()}},
    }


def measure_once(job: Job) -> Footprint:
    """One process.

    Raises:
        ToolchainError: as :func:`measure_footprints`.
    """
    values: dict[str, Any] = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(job).items()
    }
    values["recordings"] = [str(path) for path in job.recordings]
    # The clock is the same in both processes.
    values["began"] = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "asrpack.measure.footprint"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, log = child.communicate(json.dumps(values))
    if child.returncode != 0:
        lines = log.strip().splitlines() or [f"exit code {child.returncode}"]
        raise ToolchainError(
            f"the process that loads the model died: {lines[-1]}",
            code="footprint-died",
            place=str(job.graphs),
            remedy="free memory, or run `asrpack doctor`",
        )
    return Footprint(**json.loads(out))


def _memory(found: Sequence[Footprint]) -> dict[str, Any]:
    runtime, loading, running = (
        int(statistics.median(values))
        for values in zip(*((f.runtime, f.loading, f.running) for f in found), strict=True)
    )
    return {
        "runtime": runtime,
        "loading": {"peak": loading, "model": loading - runtime},
        "running": {"peak": running, "model": running - runtime},
        "peak": max(loading, running),
    }


def _start(found: Sequence[Footprint]) -> dict[str, Any]:
    seconds = [item.cold_start for item in found]
    return {"seconds": statistics.median(seconds), "range": [min(seconds), max(seconds)]}


def main() -> None:
    """The child's side."""
    job = json.load(sys.stdin)
    from asrpack.bundle.model import ModelDescription
    from asrpack.bundle.plaintext import Plaintext
    from asrpack.runtime.audio import read_audio
    from asrpack.runtime.decoding.ngram import NgramModel
    from asrpack.runtime.engines import graph_files
    from asrpack.runtime.memory import forget_peak, peak_bytes
    from asrpack.runtime.recognizer import Recognizer

    runtime = peak_bytes()
    description = ModelDescription.read(Path(job["description"]))
    ngram = job["language_model"]
    recognizer = Recognizer(
        description,
        {
            name: Plaintext.of_file(Path(job["graphs"]) / name)
            for name in graph_files(job["target"], description.graphs)
        },
        target=job["target"],
        ngram=None if ngram is None else NgramModel(Path(ngram)),
        threads=job["threads"],
    )
    loading = peak_bytes()
    forget_peak()
    cold_start = 0.0
    for recording in job["recordings"]:
        samples = read_audio(Path(recording), description.sample_rate)
        recognizer.decode(recognizer.encode(recognizer.features(samples)), job["method"])
        cold_start = cold_start or time.monotonic() - job["began"]
    json.dump(asdict(Footprint(runtime, loading, peak_bytes(), cold_start)), sys.stdout)


if __name__ == "__main__":
    main()
