"""What a mark costs and how surely it is found, over many customers of one build.

Builds a model with asrpack's own stages, marks it for each customer, decodes the test set with
every marked copy, and scores each copy against all customers and a thousand strangers.

    python -m benchmarks.watermark                  # the quickstart model, about 5 minutes
    python -m benchmarks.watermark --precision int4 --customers 5 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from asrpack.bundle.keys import WATERMARK, armour
from asrpack.bundle.model import ModelDescription
from asrpack.measure.error_rate import count_edits, total
from asrpack.measure.evaluation import Sample, load_recognizer, read_samples, transcribe_all
from asrpack.protect.detection import detect
from asrpack.runtime.recognizer import Recognizer
from asrpack.stages.quantize import Quantize, QuantizeParams
from asrpack.stages.stage import Context
from asrpack.stages.watermark import Watermark, read_weights
from benchmarks.stage_chain import run_stage, run_until_optimized

QUICKSTART = Path(__file__).parents[1] / "recipes/quickstart"
KEY = bytes(range(32))
STRANGERS = 1000


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=QUICKSTART / "conformer_digits_cards")
    parser.add_argument("--manifest", type=Path, default=QUICKSTART / "data/all.jsonl")
    parser.add_argument("--precision", choices=["int8", "int4"], default="int8")
    parser.add_argument("--customers", type=int, default=20)
    parser.add_argument("--strength", type=float, default=0.05)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-watermark-") as workspace:
        report = measure(Path(workspace), options)
    print(json.dumps(report, indent=1) if options.json else table(report))


def measure(workspace: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Marks, decodes and scores; error rates are CER as fractions."""
    files = run_until_optimized(options.model, options.manifest, workspace)
    params = QuantizeParams(precision=options.precision)
    quantized = run_stage(Quantize(), {"onnx": files["optimized"]}, workspace, params) / "onnx"
    description = ModelDescription.read(files["description"])
    unmarked = load_recognizer(description, quantized)
    samples = read_samples(unmarked, options.manifest)
    names = [f"customer-{number}" for number in range(options.customers)]
    strangers = [f"stranger-{number}" for number in range(STRANGERS)]
    original = read_weights(files["optimized"])
    secret = armour(WATERMARK, KEY)
    copies = []
    for name in names:
        folder = workspace / name
        folder.mkdir()
        Watermark().run(
            Watermark.Params.model_validate({"customer": name, "strength": options.strength}),
            {"original": files["optimized"], "onnx": quantized},
            folder,
            Context(secrets={"key": secret}),
        )
        scores = detect(original, read_weights(folder / "onnx"), KEY, [*names, *strangers])
        copies.append(
            {
                "customer": name,
                "z": next(score.z for score in scores if score.customer == name),
                "highest_other_z": max(score.z for score in scores if score.customer != name),
                "cer": cer(load_recognizer(description, folder / "onnx"), samples),
            }
        )
    return {
        "strength": options.strength,
        "precision": options.precision,
        "utterances": len(samples),
        "cer_fp32": cer(load_recognizer(description, files["optimized"]), samples),
        "cer_unmarked": cer(unmarked, samples),
        "copies": copies,
    }


def cer(recognizer: Recognizer, samples: list[Sample]) -> float:
    """By the method that the model asks for, as a fraction."""
    method = recognizer.description.decode.method
    texts = transcribe_all(recognizer, samples, [method], lambda done: None)
    return total([count_edits(s.text, texts[s.utt][method], "cer") for s in samples]).rate


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    cer = [copy["cer"] for copy in report["copies"]]
    change = [value - report["cer_unmarked"] for value in cer]
    rows = [
        ("CER fp32", f"{report['cer_fp32']:.2%}"),
        (f"CER {report['precision']}, unmarked", f"{report['cer_unmarked']:.2%}"),
        (f"CER {report['precision']}, marked: mean", f"{statistics.mean(cer):.2%}"),
        ("change by the mark: least, mean, greatest",
         f"{min(change):+.2%}, {statistics.mean(change):+.2%}, {max(change):+.2%}"),
        ("z of the right customer: least", f"{min(c['z'] for c in report['copies']):.0f}"),
        ("z of anyone else: greatest",
         f"{max(c['highest_other_z'] for c in report['copies']):.2f}"),
    ]  # fmt: skip
    head = f"{len(cer)} marked copies, {report['utterances']} utterances, strength "
    lines = [head + str(report["strength"]), "", "| | |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows)])


if __name__ == "__main__":
    main()
