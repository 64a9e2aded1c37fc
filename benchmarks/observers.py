"""Text and speed of static int8: with each observer, smoothed, and with each kind of operator.

Builds a model with asrpack's own stages, quantizes it in every way, and decodes the test set with
each. Speed is of the encoder alone, on the test set's longest recording or on ``--graphs``, a
folder of optimized graphs of real size; one run of each way in turn, medians of the ratios.

    python -m benchmarks.observers                             # the quickstart model, half an hour
    python -m benchmarks.observers --only minmax,hist --json
    python -m benchmarks.observers --graphs FOLDER             # speed alone; random features
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.bundle.model import ModelDescription
from asrpack.graph.quantization.operators import activations, operator_kinds
from asrpack.measure.error_rate import count_edits, total
from asrpack.measure.evaluation import load_recognizer, read_samples, transcribe_all
from asrpack.runtime.engines.onnxruntime import open_session
from asrpack.stages.calibrate import Calibrate
from asrpack.stages.import_ import Import
from asrpack.stages.quantize import Quantize, QuantizeParams
from asrpack.stages.smooth import Smooth
from benchmarks.stage_chain import run_stage, run_until_optimized

QUICKSTART = Path(__file__).parents[1] / "recipes/quickstart"
OBSERVERS = ("minmax", "entropy", "percentile", "hist", "kl", "mse", "avg", "emd")
OPERATORS = {
    "without conv": ("matmul",),
    "with depthwise_conv": ("matmul", "conv", "depthwise_conv"),
    "with attention": ("matmul", "conv", "attention"),
    "with output": ("matmul", "conv", "output"),
    "with all": ("matmul", "conv", "depthwise_conv", "attention", "output"),
}
# Way → observer (None: dynamic), alpha of smoothing, parameters of the quantize stage.
Way = tuple[str | None, float | None, dict[str, Any]]


def ways() -> dict[str, Way]:
    """All that are compared, by name."""
    static = {"method": "static"}
    found: dict[str, Way] = {"dynamic": (None, None, {}), "dynamic, smooth 0.5": (None, 0.5, {})}
    found |= {name: (name, None, static) for name in OBSERVERS}
    found |= {f"minmax, smooth {alpha}": ("minmax", alpha, static) for alpha in (0.3, 0.5, 0.7)}
    found["hist, smooth 0.5"] = ("hist", 0.5, static)
    for name, operators in OPERATORS.items():
        found[f"minmax, {name}"] = ("minmax", None, {**static, "operators": operators})
    found["minmax, avx2"] = ("minmax", None, {**static, "cpu": "avx2"})
    found["minmax, arm64"] = ("minmax", None, {**static, "cpu": "arm64"})
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=QUICKSTART / "conformer_digits_cards")
    parser.add_argument("--calibration", type=Path, default=QUICKSTART / "data/calibration.jsonl")
    parser.add_argument("--manifest", type=Path, default=QUICKSTART / "data/all.jsonl")
    parser.add_argument("--graphs", type=Path, help="folder of optimized graphs: speed alone")
    parser.add_argument("--only", help="ways, separated by commas")
    parser.add_argument("--pairs", type=int, default=15, help="runs of each way")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-observers-") as folder:
        workspace = Path(folder)
        measure = speed_of_graphs if options.graphs else text_and_speed
        report = measure(workspace, options)
    print(json.dumps(report, indent=1) if options.json else table(report))


def text_and_speed(workspace: Path, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Error rate (a fraction), changed texts, size and speed by way."""
    files = run_until_optimized(
        options.model, options.calibration, workspace, Import.Params(streaming=False)
    )
    description = ModelDescription.read(files["description"])
    built = {"fp32": files["optimized"]}
    chosen = options.only.split(",") if options.only else list(ways())
    for name in chosen:
        print(name, file=sys.stderr)
        built[name] = build(workspace, name, files, options.calibration)
    recognizers = {name: load_recognizer(description, path) for name, path in built.items()}
    samples = read_samples(recognizers["fp32"], options.manifest)
    method = description.decode.method
    report: dict[str, dict[str, Any]] = {}
    texts = {}
    for name, recognizer in recognizers.items():
        texts[name] = transcribe_all(recognizer, samples, [method], lambda done: None)
        edits = [count_edits(s.text, texts[name][s.utt][method], "cer") for s in samples]
        report[name] = {
            "cer": total(edits).rate,
            "changed": sum(texts[name][utt] != texts["fp32"][utt] for utt in texts[name]),
        }
    longest = max(samples, key=lambda sample: len(sample.features)).features
    feed = {"feats": longest[None], "feat_lens": np.array([len(longest)])}
    encoders = {name: path / "encoder.onnx" for name, path in built.items()}
    return merge(report, speed(encoders, feed, options.pairs))


def speed_of_graphs(workspace: Path, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Size and speed by way, of random features: ranges are of them as well."""
    generator = np.random.default_rng(0)
    feed = {
        "feats": generator.standard_normal((2, 500, 80), np.float32),
        "feat_lens": np.full(2, 500),
    }
    built = {"fp32": options.graphs / "encoder.onnx"}
    source = workspace / "onnx"
    source.mkdir()
    (source / "encoder.onnx").symlink_to(built["fp32"].absolute())
    calibration = workspace / "calibration.json"
    calibration.write_text(json.dumps({"ranges": {"encoder": minmax(built["fp32"], feed)}}))
    for name, (observer, alpha, params) in ways().items():
        if alpha is None and observer in (None, "minmax"):
            built[name] = (
                run_stage(
                    Quantize(),
                    {"onnx": source, "calibration": calibration},
                    workspace / name,
                    QuantizeParams(**params),
                )
                / "onnx/encoder.onnx"
            )
    return speed(built, feed, options.pairs)


def minmax(path: Path, feed: Mapping[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Ranges of all activations of a graph for one feed."""
    import onnx

    from asrpack.graph.activations import OpenGraph
    from asrpack.graph.quantization.observers import MinMax

    model, observer = onnx.load(str(path)), MinMax()
    tensors = activations(model, set(operator_kinds(model)))
    observer.observe(OpenGraph(model, tensors, path.name).run(feed)[1])
    return observer.ranges()


def build(workspace: Path, name: str, files: Mapping[str, Path], manifest: Path) -> Path:
    """The folder of a way's graphs."""
    observer, alpha, params = ways()[name]
    folder = workspace / name
    given = {"description": files["description"], "manifest": manifest}
    source, inputs = files["optimized"], {}
    if alpha is not None:
        smoothing = {"onnx": source, "cases": files["cases"], **given}
        smoothed = run_stage(Smooth(), smoothing, folder, Smooth.Params(alpha=alpha))
        source, inputs["factors"] = smoothed / "onnx", smoothed / "factors.npz"
    quantizing = {"onnx": source}
    if observer is not None:
        inputs |= {"onnx": source, "params": workspace / "import/out/params.npz", **given}
        attention = "attention" in params.get("operators", ())
        wanted = Calibrate.Params(observer=observer, attention=attention)
        out = run_stage(Calibrate(), inputs, folder, wanted)
        quantizing["calibration"] = out / "calibration.json"
    return run_stage(Quantize(), quantizing, folder, QuantizeParams(**params)) / "onnx"


def speed(
    encoders: Mapping[str, Path], feed: Mapping[str, np.ndarray], pairs: int
) -> dict[str, dict[str, Any]]:
    """Size, median seconds, and ratios to fp32 and dynamic, by way."""
    sessions = {
        name: open_session(path.read_bytes(), path.name, 1) for name, path in encoders.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in sessions}
    for session in sessions.values():
        session.run(None, dict(feed))
    for _ in range(pairs):
        for name, session in sessions.items():
            start = time.process_time()
            session.run(None, dict(feed))
            seconds[name].append(time.process_time() - start)

    def ratio(name: str, other: str) -> float | None:
        if other not in seconds:
            return None
        return statistics.median(a / b for a, b in zip(seconds[other], seconds[name], strict=True))

    return {
        name: {
            "bytes": encoders[name].stat().st_size,
            "seconds": statistics.median(values),
            "against_fp32": ratio(name, "fp32"),
            "against_dynamic": ratio(name, "dynamic"),
        }
        for name, values in seconds.items()
    }


def merge(
    first: Mapping[str, dict[str, Any]], second: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Both reports of each way in one."""
    return {name: {**first[name], **second[name]} for name in first}


def table(report: Mapping[str, Mapping[str, Any]]) -> str:
    """The report as Markdown."""
    lines = ["| way | CER | texts changed | encoder | ms | against fp32 | against dynamic |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for name, row in report.items():
        cer = f"{row['cer']:.2%}" if "cer" in row else ""
        dynamic = row["against_dynamic"]
        lines.append(
            f"| {name} | {cer} | {row.get('changed', '')} | {row['bytes'] / 1e6:.1f} MB | "
            f"{row['seconds'] * 1e3:.1f} | {row['against_fp32']:.2f}x | "
            f"{'' if dynamic is None else f'{dynamic:.2f}x'} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
