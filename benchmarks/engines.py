"""Speed of Paddle Inference against ONNX Runtime, on a conformer of real size with random weights.

Both run the same fp32 weights (12 blocks of 256, 4233 units) through the runtime's own engines,
one run of each in turn, so that a machine that grows slower meanwhile slows both. Ratios are
medians of the pairs. Opening a graph is timed, too.

    python -m benchmarks.engines                      # about 3 minutes, 2 GB of memory
    python -m benchmarks.engines --blocks 4 --precision int8 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.runtime.engines import graph_files, open_graph
from asrpack.runtime.host import describe_host
from asrpack.stages.quantize_paddle import QuantizePaddle
from benchmarks.int8 import MANIFEST, feeds
from benchmarks.make_conformer import configuration, write_model
from benchmarks.stage_chain import run_stage, run_until_optimized

TARGETS = ("onnxruntime", "paddle_inference")
# The threads of an engine wait busily for more after a run: Intel's OpenMP 0.2 s.
SETTLE = 0.3


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--batch", type=int, default=2, help="utterances in a run")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each")
    parser.add_argument("--pairs", type=int, default=15, help="runs of each engine")
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    parser.add_argument("--precision", choices=("fp32", "fp16", "int8"), default="fp32",
                        help="of Paddle Inference; ONNX Runtime runs fp32")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-engines-") as workspace:
        folders = build(Path(workspace), options.blocks, options.precision)
        report = {
            "host": describe_host() | {"paddlepaddle": version("paddlepaddle")},
            "model": {"blocks": options.blocks, "size": 256, "vocabulary": 4233},
            "precision": options.precision,
            "graphs": {
                name.removesuffix(".onnx"): compare_graph(
                    folders, name.removesuffix(".onnx"), feed, options.pairs, options.threads
                )
                for name, feed in feeds(options.batch, options.seconds).items()
            },
        }
    print(json.dumps(report, indent=1) if options.json else table(report))


def build(workspace: Path, blocks: int, precision: str) -> dict[str, Path]:
    """Folders of the graphs, by target."""
    model = workspace / "model"
    write_model(model, configuration(blocks=blocks))
    made = run_until_optimized(model, MANIFEST, workspace)
    given = {name: made[name] for name in ("cases", "description")}
    inputs = {"paddle": made["cases"].parent / "paddle", **given}
    params = QuantizePaddle.Params.model_validate({"precision": precision})
    paddle = run_stage(QuantizePaddle(), inputs, workspace, params) / "paddle"
    return dict(zip(TARGETS, (made["optimized"], paddle), strict=True))


def compare_graph(
    folders: Mapping[str, Path],
    name: str,
    feed: Mapping[str, np.ndarray],
    pairs: int,
    threads: int,
) -> dict[str, Any]:
    """Bytes, seconds to open and to run, and the largest difference of the outputs."""
    graphs, opening, size = {}, {}, {}
    for target, folder in folders.items():
        files = {item: (folder / item).read_bytes() for item in graph_files(target, [name])}
        size[target] = sum(map(len, files.values()))
        start = time.perf_counter()
        graphs[target] = open_graph(target, name, files, threads)
        opening[target] = time.perf_counter() - start
    outputs = {
        target: graph.run(graph.outputs, feed)  # allocates, and packs weights
        for target, graph in graphs.items()
    }
    seconds: dict[str, list[float]] = {target: [] for target in graphs}
    for _ in range(pairs):
        for target, graph in graphs.items():
            time.sleep(SETTLE)
            start = time.perf_counter()
            graph.run(graph.outputs, feed)
            seconds[target].append(time.perf_counter() - start)
    onnx, paddle = (seconds[target] for target in TARGETS)
    by_name = [dict(zip(graphs[t].outputs, outputs[t], strict=True)) for t in TARGETS]
    return {
        "bytes": size,
        "opening": opening,
        "seconds": {target: statistics.median(times) for target, times in seconds.items()},
        "speedup": statistics.median(a / b for a, b in zip(onnx, paddle, strict=True)),
        "difference": max(float(np.abs(by_name[0][o] - by_name[1][o]).max()) for o in by_name[0]),
    }


def table(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = [f"{name}: {value}" for name, value in report["host"].items()]
    lines += ["", f"{'graph':10}{'engine':>18}{'MB':>8}{'open ms':>9}{'run ms':>8}{'speed':>8}"]
    for name, graph in report["graphs"].items():
        for target in TARGETS:
            speed = graph["speedup"] if target == TARGETS[1] else 1.0
            lines.append(
                f"{name:10}{target:>18}{graph['bytes'][target] / 1e6:8.1f}"
                f"{graph['opening'][target] * 1e3:9.0f}{graph['seconds'][target] * 1e3:8.1f}"
                f"{speed:7.2f}x"
            )
        lines.append(f"{'':10}largest difference {graph['difference']:.1e}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
