"""End to end against PaddleSpeech and sherpa-onnx: the same weights, from samples to text.

Makes a conformer of real size (12 blocks of 256, 4233 units, random weights) and gives it to each
system as that system takes it (:mod:`benchmarks.rival_models`). Every one runs in a process of its
own (:mod:`benchmarks.rival_systems`) with as many threads, warm, one utterance at a time: 16 kHz
samples in memory, features, encoder, CTC greedy search, text. PaddleSpeech is measured three times:

- ``PaddleSpeech, decode``: ``U2Model.decode`` on features that are ready, which favours it;
- ``PaddleSpeech``: its features, too;
- ``PaddleSpeech, ASRExecutor``: all that its Python API does with a WAV file.

sherpa-onnx runs int8 files of its own script's method, of a graph with convolutions as WeNet
exports it and of asrpack's optimized one (which has nothing but matrix products to offer there).

Systems take turns, all utterances in a row each. A round's ratio is of the sums over them; medians
are of the rounds. Text is compared with asrpack's fp32, unit by unit.

    python -m benchmarks.rivals                          # about 3 minutes of two idle cores, 5 GB
    python -m benchmarks.rivals --threads 1 --json
    python -m benchmarks.rivals --model recipes/quickstart/conformer_digits_cards
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from asrpack.measure.error_rate import count_edits, total
from asrpack.recipe.manifest import read_manifest
from asrpack.runtime.host import describe_host
from benchmarks.int8 import SETTLING
from benchmarks.make_conformer import configuration, write_model
from benchmarks.parity import SHARPNESS
from benchmarks.rival_models import build
from benchmarks.rival_systems import SYSTEMS, Layout

DATA = Path(__file__).parents[1] / "recipes/quickstart/data"
OURS, REFERENCE = "asrpack int8", "asrpack fp32"
PACKAGES = ("onnxruntime", "sherpa-onnx", "paddlespeech", "paddlepaddle")
RATE = 16000
# How ASRExecutor is told to decode, as the published models' configurations have it.
WHOLE = {"decoding_chunk_size": -1, "num_decoding_left_chunks": -1, "simulate_streaming": False}
# Three people's recordings as they are (1.1 to 3.5 s), and others one behind the other.
HUMAN = ("001", "003", "005")
JOINED_SECONDS = (5.0, 8.0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="a PaddleSpeech model directory instead")
    parser.add_argument("--blocks", type=int, default=12, help="of the conformer that is made")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2, help="of every system")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-rivals-") as workspace:
        layout = Layout(Path(workspace))
        if options.model is None:
            config = configuration(blocks=options.blocks)
            config["decode"] |= WHOLE
            write_model(layout.paddlespeech, config, sharpness=SHARPNESS)
        else:
            shutil.copytree(options.model, layout.paddlespeech)
        build(layout, DATA / "calibration.jsonl")
        report = compare(layout, tuple(SYSTEMS), options.rounds, options.threads)
    print(json.dumps(report, indent=1) if options.json else table(report))


def write_audio(folder: Path) -> list[Path]:
    """WAV files of what is recognised, made of the quickstart recipe's recordings."""
    human = [soundfile.read(DATA / f"human/{name}.wav", dtype="int16")[0] for name in HUMAN]
    rest = iter(read_manifest(DATA / "test.jsonl"))
    joined = []
    for seconds in JOINED_SECONDS:
        samples = np.zeros(0, np.int16)
        while len(samples) < seconds * RATE:
            more = soundfile.read(next(rest).audio, dtype="int16")[0]
            samples = np.concatenate([samples, more])
        joined.append(samples[: int(seconds * RATE)])
    paths = []
    for index, samples in enumerate([*human, *joined]):
        paths.append(folder / f"{index}.wav")
        soundfile.write(paths[-1], samples, RATE)
    return paths


def compare(layout: Layout, names: Sequence[str], rounds: int, threads: int) -> dict[str, Any]:
    """Times systems in turn and compares their texts.

    Threads of one system that go on spinning would take the next one's cores: each begins after a
    pause, with an utterance that does not count.

    Args:
        names: of :data:`benchmarks.rival_systems.SYSTEMS`, :data:`REFERENCE` and :data:`OURS`
            among them.
    """
    folder = layout.folder / "audio"
    folder.mkdir()
    audio = write_audio(folder)
    seconds = np.empty((rounds, len(names), len(audio)))
    cpu = np.empty_like(seconds)
    texts: dict[str, list[str]] = {}
    peaks: dict[str, int] = {}
    with ExitStack() as stack:
        systems = [stack.enter_context(_running(name, layout, threads, audio)) for name in names]
        for name, system in zip(names, systems, strict=True):  # warms up
            texts[name] = [system.ask(index)["text"] for index in range(len(audio))]
        for turn in range(rounds):
            for place in range(len(names)):
                which = (place + turn) % len(names)
                time.sleep(SETTLING)
                systems[which].ask(0)  # wakes its threads up
                for utterance in range(len(audio)):
                    answer = systems[which].ask(utterance)
                    seconds[turn, which, utterance] = answer["seconds"]
                    cpu[turn, which, utterance] = answer["cpu_seconds"]
        for name, system in zip(names, systems, strict=True):
            peaks[name] = system.ask("")["peak_bytes"]
    taken, used = seconds.sum(axis=2), cpu.sum(axis=2)
    ours = list(names).index(OURS)
    return {
        "host": describe_host() | _versions(),
        "model_bytes": model_bytes(layout),
        "utterances": [soundfile.info(path).duration for path in audio],
        "rounds": rounds,
        "threads": threads,
        "systems": {
            name: {
                "seconds": statistics.median(taken[:, index]),
                "cpu_seconds": statistics.median(used[:, index]),
                "ratio": spread(taken[:, index] / taken[:, ours]),
                "cpu_ratio": spread(used[:, index] / used[:, ours]),
                "peak_bytes": peaks[name],
                "agreement": agreement(texts[REFERENCE], texts[name]),
            }
            for index, name in enumerate(names)
        },
    }


class _Process:
    """A system's process, and its answers."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name, self._process = name, process

    def ask(self, question: int | str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        if not (line := self._process.stdout.readline()):
            sys.exit(f"{self._name} ended with {self._process.wait()}; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def _running(name: str, layout: Layout, threads: int, audio: Sequence[Path]) -> Iterator[_Process]:
    """Starts a system in the folder of PaddleSpeech's model, whose paths are relative to it."""
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(threads))
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    command = [sys.executable, "-m", "benchmarks.rival_systems", name, str(layout.folder)]
    process = subprocess.Popen(
        [*command, str(threads), *map(str, audio)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=layout.paddlespeech,
    )
    try:
        yield _Process(name, process)
    finally:
        process.kill()
        process.communicate()


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import sherpa_onnx

    found = {name: version(name) for name in PACKAGES}
    return found | {"onnxruntime of sherpa-onnx": sherpa_onnx.onnxruntime_version}


def model_bytes(layout: Layout) -> dict[str, int]:
    """Size of each graph of encoder and CTC."""
    files = {
        "asrpack fp32": layout.fp32 / "encoder.onnx",
        "asrpack int8": layout.int8 / "encoder.onnx",
        "sherpa-onnx int8": layout.sherpa_model("exported.int8"),
        "sherpa-onnx int8, asrpack's graph": layout.sherpa_model("optimized.int8"),
    }
    return {name: path.stat().st_size for name, path in files.items()}


def spread(ratios: Any) -> dict[str, float]:
    """Median, least and greatest of the rounds."""
    return {
        "median": statistics.median(ratios),
        "least": float(min(ratios)),
        "greatest": float(max(ratios)),
    }


def agreement(reference: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """Equal texts, and edits by unit."""
    pairs = list(zip(reference, texts, strict=True))
    edits = total([count_edits(left, right, "cer") for left, right in pairs])
    return {
        "utterances": len(pairs),
        "equal": sum(left == right for left, right in pairs),
        "units": edits.length,
        "edits": edits.errors,
    }


def table(report: Mapping[str, Any]) -> str:
    """The report for people, its table in Markdown."""
    audio = sum(report["utterances"])
    lines = [f"{name}: {value}" for name, value in report["host"].items()]
    sizes = report["model_bytes"]
    lines += [f"{name}: {size / 1e6:.1f} MB, {size / sizes[REFERENCE]:.1%} of {REFERENCE}"
              for name, size in sizes.items()]  # fmt: skip
    lines += [
        f"utterances: {len(report['utterances'])}, {audio:.1f} s in all",
        f"rounds: {report['rounds']}",
        f"threads: {report['threads']}",
        "",
        f"| system | RTF | x {OURS}'s time | x its CPU time | memory | text as {REFERENCE} |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in report["systems"].items():
        same, ratio, cpu = row["agreement"], row["ratio"], row["cpu_ratio"]
        lines.append(
            f"| {name} | {row['seconds'] / audio:.3f} "
            f"| {ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['greatest']:.2f}) "
            f"| {cpu['median']:.2f} ({cpu['least']:.2f} to {cpu['greatest']:.2f}) "
            f"| {row['peak_bytes'] / 1e6:.0f} MB "
            f"| {same['equal']} of {same['utterances']}, {same['edits']} edits in "
            f"{same['units']} units |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
