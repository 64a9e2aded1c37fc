"""OpenVINO against ONNX Runtime's own CPU kernels, on the encoder of a conformer of real size.

Both run the same files (12 blocks of 256, 4233 units, fp32 and int8, as ``benchmarks.int8`` builds
them), one run of each in turn; ratios are medians of the pairs. OpenVINO is measured as the
installed package has it: ``openvino`` itself, or ``onnxruntime-openvino``, which shares a folder
with ``onnxruntime`` and belongs into an environment of its own:

    pip install openvino
    python -m benchmarks.openvino_speed --keep graphs
    python -m venv ov && ov/bin/pip install onnxruntime-openvino
    ov/bin/python benchmarks/openvino_speed.py --graphs graphs
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

PROVIDER = "OpenVINOExecutionProvider"
PRECISIONS = ("fp32", "int8")
Feed = Mapping[str, np.ndarray]
Run = Callable[[Feed], Any]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--batch", type=int, default=2, help="utterances in a run")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each")
    parser.add_argument("--pairs", type=int, default=15, help="runs of each engine")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--graphs", type=Path, help="fp32/ and int8/ that --keep left")
    parser.add_argument("--keep", type=Path, help="leave the graphs here")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-openvino-") as workspace:
        folder = options.graphs or build(options.keep or Path(workspace), options.blocks)
        rows = [measure(folder, precision, options) for precision in PRECISIONS]
    report = {"versions": versions(), "rows": rows}
    print(json.dumps(report, indent=1) if options.json else table(report))


def build(folder: Path, blocks: int) -> Path:
    """Makes ``fp32/`` and ``int8/`` in a folder; needs asrpack's build toolchain."""
    int8 = importlib.import_module("benchmarks.int8")
    with tempfile.TemporaryDirectory(prefix="asrpack-openvino-") as workspace:
        for name, built in zip(PRECISIONS, int8.build(Path(workspace), blocks), strict=True):
            (folder / name).mkdir(parents=True)
            (folder / name / "encoder.onnx").write_bytes((built / "encoder.onnx").read_bytes())
    return folder


def measure(folder: Path, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of both engines on one graph, their ratio, and how far the outputs differ."""
    model = (folder / precision / "encoder.onnx").read_bytes()
    generator = np.random.default_rng(0)
    frames = int(options.seconds * 100)
    feed = {
        "feats": generator.standard_normal((options.batch, frames, 80), np.float32),
        "feat_lens": np.full(options.batch, frames),
    }
    engines = {"onnxruntime": on_cpu(model, options.threads)}
    if PROVIDER in onnxruntime.get_available_providers():
        engines["openvino"] = as_provider(model, options.threads)
    elif importlib.util.find_spec("openvino") is not None:
        engines["openvino"] = as_package(model, options.threads)
    else:
        raise SystemExit("pip install openvino, or onnxruntime-openvino in place of onnxruntime")
    outputs = {name: np.asarray(run(feed)) for name, run in engines.items()}  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for index in range(options.pairs):
        for name in sorted(engines, reverse=bool(index % 2)):
            start = time.perf_counter()
            engines[name](feed)
            seconds[name].append(time.perf_counter() - start)
    pairs = zip(seconds["onnxruntime"], seconds["openvino"], strict=True)
    return {
        "precision": precision,
        "ms": {name: 1000 * statistics.median(taken) for name, taken in seconds.items()},
        "speed": statistics.median(ours / theirs for ours, theirs in pairs),
        "difference": float(np.abs(outputs["onnxruntime"] - outputs["openvino"]).max()),
        "same_best": float(
            (outputs["onnxruntime"].argmax(-1) == outputs["openvino"].argmax(-1)).mean()
        ),
    }


def on_cpu(model: bytes, threads: int) -> Run:
    """ONNX Runtime's own kernels, set up as asrpack's runtime sets them up."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(["ctc_log_probs"], dict(feed))[0]


def as_provider(model: bytes, threads: int) -> Run:
    """OpenVINO inside ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    # OpenVINO's documentation: ONNX Runtime's own rewriting of the graph is in its way.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings = {"device_type": "CPU", "num_of_threads": str(threads), "precision": "FP32"}
    session = onnxruntime.InferenceSession(model, options, providers=[(PROVIDER, settings)])
    if PROVIDER not in session.get_providers():
        raise SystemExit(f"{PROVIDER} is there but does not work")
    return lambda feed: session.run(["ctc_log_probs"], dict(feed))[0]


def as_package(model: bytes, threads: int) -> Run:
    """OpenVINO by itself."""
    openvino = importlib.import_module("openvino")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda feed: request.infer(dict(feed))["ctc_log_probs"]


def versions() -> dict[str, str]:
    """Of what was measured."""
    found = {"onnxruntime": onnxruntime.__version__}
    for name in ("openvino", "onnxruntime-openvino"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def table(report: Mapping[str, Any]) -> str:
    """The report for people."""
    lines = [f"{name}: {value}" for name, value in report["versions"].items()]
    lines += [
        "",
        f"{'graph':7}{'ORT ms':>9}{'OV ms':>9}{'speed':>8}{'difference':>12}  same best unit",
    ]
    lines += [
        f"{row['precision']:7}{row['ms']['onnxruntime']:9.1f}{row['ms']['openvino']:9.1f}"
        f"{row['speed']:7.2f}x{row['difference']:12.2g}  {row['same_best']:.2%}"
        for row in report["rows"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
