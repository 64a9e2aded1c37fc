"""Size and speed of int8 against fp32, on a conformer of real size with random weights.

Builds the model (12 blocks of 256, 4233 units) with asrpack's own stages and times both
precisions on the same features, one run of each in turn, so that a machine that grows slower
meanwhile slows both. Ratios are medians of the pairs.

    python -m benchmarks.int8                      # about 2 minutes, 2 GB of memory
    python -m benchmarks.int8 --blocks 4 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from asrpack.runtime.engines.onnxruntime import open_session
from asrpack.runtime.host import describe_host
from asrpack.stages.quantize import Quantize
from benchmarks.make_conformer import configuration, write_model
from benchmarks.stage_chain import run_stage, run_until_optimized

MANIFEST = Path(__file__).parents[1] / "recipes/quickstart/data/calibration.jsonl"
FRAMES_PER_SECOND = 100
UNITS_PER_SECOND = 4
DECODER_BLOCKS = 6
# ONNX Runtime's threads go on spinning after a run, and would take the next session's cores.
SETTLING = 0.1


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--batch", type=int, default=2, help="utterances in a run")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each")
    parser.add_argument("--pairs", type=int, default=15, help="runs of each precision")
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-int8-") as workspace:
        fp32, int8 = build(Path(workspace), options.blocks)
        report = {
            "host": describe_host(),
            "model": {"blocks": options.blocks, "size": 256, "vocabulary": 4233},
            "graphs": {
                name: compare_graph(fp32 / name, int8 / name, feed, options.pairs, options.threads)
                for name, feed in feeds(options.batch, options.seconds).items()
            },
        }
    sizes = [graph["bytes"] for graph in report["graphs"].values()]
    report["size_ratio"] = sum(s["int8"] for s in sizes) / sum(s["fp32"] for s in sizes)
    print(json.dumps(report, indent=1) if options.json else table(report))


def build(workspace: Path, blocks: int) -> tuple[Path, Path]:
    """Folders of the fp32 and the int8 graphs."""
    model = workspace / "model"
    write_model(model, configuration(blocks=blocks))
    fp32 = run_until_optimized(model, MANIFEST, workspace)["optimized"]
    params = Quantize.Params(precision="int8")
    return fp32, run_stage(Quantize(), {"onnx": fp32}, workspace, params) / "onnx"


def feeds(batch: int, seconds: float) -> dict[str, dict[str, np.ndarray]]:
    """What one run of each graph is fed: ``batch`` utterances; as many hypotheses of one."""
    generator = np.random.default_rng(0)
    frames, units = int(seconds * FRAMES_PER_SECOND), int(seconds * UNITS_PER_SECOND)
    return {
        "encoder.onnx": {
            "feats": generator.standard_normal((batch, frames, 80), np.float32),
            "feat_lens": np.full(batch, frames),
        },
        "decoder.onnx": {
            "encoder_out": generator.standard_normal((1, frames // 4 - 1, 256), np.float32),
            "hyps_in": generator.integers(2, 4000, (batch, units)),
            "ancestors": np.tri(units, dtype=np.int64),
            "cache": np.zeros((DECODER_BLOCKS, batch, 0, 256), np.float32),
        },
    }


def compare_graph(
    fp32: Path, int8: Path, feed: Mapping[str, np.ndarray], pairs: int, threads: int
) -> dict[str, Any]:
    """Bytes, seconds and operators of one graph in both precisions."""
    sessions = [open_session(path.read_bytes(), path.name, threads) for path in (fp32, int8)]
    for session in sessions:
        session.run(None, dict(feed))  # allocates, and packs weights
    seconds: list[tuple[float, float]] = []
    for _ in range(pairs):
        taken = []
        for session in sessions:
            time.sleep(SETTLING)
            start = time.perf_counter()
            session.run(None, dict(feed))
            taken.append(time.perf_counter() - start)
        seconds.append((taken[0], taken[1]))
    operators = Counter(node.op_type for node in onnx.load(str(int8)).graph.node)
    size = {"fp32": fp32.stat().st_size, "int8": int8.stat().st_size}
    return {
        "bytes": size,
        "size_ratio": size["int8"] / size["fp32"],
        "seconds": {
            "fp32": statistics.median(pair[0] for pair in seconds),
            "int8": statistics.median(pair[1] for pair in seconds),
        },
        "speedup": statistics.median(pair[0] / pair[1] for pair in seconds),
        "operators": {
            name: operators[name] for name in ("MatMulInteger", "DynamicQuantizeLinear", "MatMul")
        },
    }


def table(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = [f"{name}: {value}" for name, value in report["host"].items()]
    lines += ["", f"{'graph':14}{'fp32 MB':>9}{'int8 MB':>9}{'size':>7}{'fp32 ms':>9}{'int8 ms':>9}"
              f"{'speed':>7}  operators"]  # fmt: skip
    for name, graph in report["graphs"].items():
        size, seconds = graph["bytes"], graph["seconds"]
        operators = ", ".join(f"{count} {kind}" for kind, count in graph["operators"].items())
        lines.append(
            f"{name:14}{size['fp32'] / 1e6:9.1f}{size['int8'] / 1e6:9.1f}{graph['size_ratio']:7.1%}"
            f"{seconds['fp32'] * 1e3:9.1f}{seconds['int8'] * 1e3:9.1f}{graph['speedup']:6.2f}x"
            f"  {operators}"
        )
    return "\n".join([*lines, f"{'both':32}{report['size_ratio']:7.1%}"])


if __name__ == "__main__":
    main()
