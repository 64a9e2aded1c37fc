"""Size, speed, memory and error of weight-only int8 and int4, and of fp16 storage.

On a conformer that streams (12 blocks of 256, 4233 units, random weights): bytes of its encoder,
milliseconds of one thread for a chunk of 16 frames with 16 chunks of history and for two
utterances of 5 s, and the memory that a process with the graph loaded and run has more than one
without. Ways take turns, so that a machine that grows slower meanwhile slows all. On the
quickstart model: error rate and how many texts are not fp32's, unmarked.

    python -m benchmarks.weight_only                # 5 minutes, 2 GB of memory
    python -m benchmarks.weight_only --blocks 4 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.measure.error_rate import count_edits, total
from asrpack.measure.evaluation import load_recognizer, read_samples, transcribe_all
from asrpack.runtime.engines.onnxruntime import open_session
from asrpack.runtime.host import describe_host
from asrpack.runtime.states import EncoderState
from asrpack.stages.import_ import Import
from asrpack.stages.quantize import Quantize
from benchmarks.make_conformer import write_model
from benchmarks.stage_chain import run_stage, run_until_optimized
from benchmarks.streaming import streaming_configuration

QUICKSTART = Path(__file__).parents[1] / "recipes/quickstart"
MANIFEST = QUICKSTART / "data/calibration.jsonl"
CHUNK, HISTORY, CHUNKS = 16, 16, 20
WAYS: dict[str, dict[str, Any]] = {
    "fp32": {"precision": "fp32"},
    "fp16 stored": {"precision": "fp16"},
    "int8 dynamic": {"precision": "int8"},
    "int8 blocks of 128": {"precision": "int8", "method": "weight_only"},
    "int8 blocks of 32": {"precision": "int8", "method": "weight_only", "block_size": 32},
    "int4 blocks of 128": {"precision": "int4"},
    "int4 blocks of 64": {"precision": "int4", "block_size": 64},
    "int4 blocks of 32": {"precision": "int4", "block_size": 32},
}
# Run in a process of its own: resident bytes before a session, and with one that has run.
_MEMORY = """
import sys
from pathlib import Path
import numpy as np
from asrpack.runtime.engines.onnxruntime import open_session
def resident(field):
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024
before = resident("VmRSS")
session = open_session(Path(sys.argv[1]).read_bytes(), "encoder.onnx", 1)
session.run(None, dict(np.load(sys.argv[2])))
print(resident("VmRSS") - before, resident("VmHWM") - before)
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12, help="of the larger model")
    parser.add_argument("--pairs", type=int, default=9, help="runs of the two utterances")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-weights-") as folder:
        workspace = Path(folder)
        write_model(workspace / "model", streaming_configuration(options.blocks))
        large = _variants(workspace / "model", workspace / "large")
        small = _variants(QUICKSTART / "conformer_digits_cards", workspace / "small")
        speed, errors = time_ways(*large, options.pairs), error_rates(*small)
    report = {
        "host": describe_host(),
        "ways": {way: speed[way] | errors[way] for way in WAYS},
    }
    print(json.dumps(report, indent=1) if options.json else table(report))


def _variants(model: Path, workspace: Path) -> tuple[ModelDescription, dict[str, Path]]:
    """The description, and the folder of graphs in each way."""
    params = Import.Params.model_validate({"streaming": True})
    built = run_until_optimized(model, MANIFEST, workspace, params)
    folders = {}
    for way, values in WAYS.items():
        params = Quantize.Params.model_validate(values)
        given = {"onnx": built["optimized"]}
        folders[way] = run_stage(Quantize(), given, workspace / way, params) / "onnx"
    return ModelDescription.read(built["description"]), folders


def time_ways(
    description: ModelDescription, folders: Mapping[str, Path], pairs: int
) -> dict[str, dict[str, float]]:
    """Bytes, memory and milliseconds of the encoder in each way; ratios are medians of turns."""
    assert description.streaming is not None
    streaming = replace(description.streaming, chunk_size=CHUNK, left_chunks=HISTORY)
    window = (CHUNK - 1) * description.subsampling + description.right_context + 1
    generator = np.random.default_rng(0)
    chunks = generator.standard_normal((CHUNKS, 1, window, description.front_end.dim), np.float32)
    paths = {way: folder / "encoder.onnx" for way, folder in folders.items()}
    sessions = {way: open_session(p.read_bytes(), p.name, 1) for way, p in paths.items()}
    seconds: dict[str, dict[str, list[float]]] = {
        way: {"chunk": [], "utterances": []} for way in folders
    }
    for again in range(2):  # the first warms up
        states = dict.fromkeys(sessions, EncoderState.start(streaming))
        for chunk in chunks:
            for way, session in sessions.items():
                feed = _feed(chunk, states[way], streaming)
                taken, outputs = _timed(session, feed)
                states[way] = states[way].next(streaming, outputs, CHUNK)
                if again:
                    seconds[way]["chunk"].append(taken)
    utterances = generator.standard_normal((2, 500, chunks.shape[-1]), np.float32)
    feed = _feed(utterances, EncoderState.start(streaming, 2), streaming)
    for again in range(pairs + 1):
        for way, session in sessions.items():
            taken, _ = _timed(session, feed)
            if again:
                seconds[way]["utterances"].append(taken)
    inputs = paths["fp32"].with_name("chunk.npz")
    np.savez(inputs, **_feed(chunks[0], EncoderState.start(streaming), streaming))
    return {
        way: {
            "bytes": path.stat().st_size,
            **_memory(path, inputs),
            **{
                f"{name}_{what}": value
                for name, times in seconds[way].items()
                for what, value in (
                    ("ms", 1000 * statistics.median(times)),
                    ("speedup", _ratio(seconds["fp32"][name], times)),
                )
            },
        }
        for way, path in paths.items()
    }


def _feed(feats: np.ndarray, state: EncoderState, streaming: Any) -> dict[str, np.ndarray]:
    lengths = np.full(len(feats), feats.shape[1], np.int64)
    return {"feats": feats, "feat_lens": lengths, **state.feed(streaming)}


def _timed(session: Any, feed: Mapping[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
    """Seconds of processor time, which what else runs there disturbs least, and the outputs."""
    start = time.process_time()
    values = session.run(None, dict(feed))
    taken = time.process_time() - start
    return taken, dict(zip((o.name for o in session.get_outputs()), values, strict=True))


def _ratio(fp32: list[float], other: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(fp32, other, strict=True))


def _memory(graph: Path, inputs: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(graph), str(inputs)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    resident, peak = map(int, done.stdout.split())
    return {"resident": resident, "peak": peak}


def error_rates(
    description: ModelDescription, folders: Mapping[str, Path]
) -> dict[str, dict[str, float]]:
    """Of the default method on the test set, and texts that are not fp32's."""
    method, samples, found = description.decode.method, None, {}
    for way, folder in folders.items():
        recognizer = load_recognizer(description, folder)
        if samples is None:
            samples = read_samples(recognizer, QUICKSTART / "data/all.jsonl")
        texts = transcribe_all(recognizer, samples, [method], lambda done: None)
        found[way] = {utt: item[method] for utt, item in texts.items()}
    assert samples is not None
    return {
        way: {
            "small_bytes": sum(path.stat().st_size for path in folders[way].glob("*.onnx")),
            "cer": total([count_edits(s.text, texts[s.utt], "cer") for s in samples]).rate,
            "changed": sum(texts[utt] != found["fp32"][utt] for utt in texts),
        }
        for way, texts in found.items()
    }


def table(report: Mapping[str, Any]) -> str:
    """The report for people, as Markdown."""
    lines = [f"{name}: {value}" for name, value in report["host"].items()]
    heads = (
        "weights",
        "encoder",
        "memory (peak)",
        "chunk",
        "2 x 5 s",
        "quickstart",
        "CER, changed",
    )
    lines += ["", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for way, row in report["ways"].items():
        lines.append(
            f"| {way} | {row['bytes'] / 1e6:.1f} MB "
            f"| {row['resident'] / 1e6:.0f} ({row['peak'] / 1e6:.0f}) MB "
            f"| {row['chunk_ms']:.1f} ms, {row['chunk_speedup']:.2f}x "
            f"| {row['utterances_ms']:.0f} ms, {row['utterances_speedup']:.2f}x "
            f"| {row['small_bytes'] / 1e6:.1f} MB | {row['cer']:.2%}, {row['changed']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
