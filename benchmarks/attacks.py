"""Who is named after what was done to a copy: attacks, chains of them, and coalitions.

Builds a model with asrpack's own stages, marks copies for eight customers, does to them what
``pirate.py`` has, and traces every result as ``asrpack trace`` does: files are read, matrices found
and aligned by their numbers, customers scored. Then wrong customers and wrong keys.

    python -m benchmarks.attacks                            # the quickstart model, shipped in int8
    python -m benchmarks.attacks --precision fp32 --strength 0.1
    python benchmarks/make_conformer.py /tmp/conformer
    python -m benchmarks.attacks --model /tmp/conformer --untrained
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from asrpack.bundle.keys import WATERMARK, armour
from asrpack.bundle.model import ModelDescription
from asrpack.measure.evaluation import load_recognizer, read_samples
from asrpack.protect.detection import Evidence, residuals
from asrpack.protect.matching import match
from asrpack.stages.calibrate import Calibrate, CalibrateParams
from asrpack.stages.quantize import Quantize, QuantizeParams
from asrpack.stages.stage import Context
from asrpack.stages.watermark import Watermark, WatermarkParams
from asrpack.trace.original import read_original
from asrpack.trace.suspect import read_suspect
from benchmarks import pirate
from benchmarks.fine_tuning import fine_tuned
from benchmarks.pirate import Copy, Step, Tools
from benchmarks.stage_chain import run_stage, run_until_optimized
from benchmarks.watermark import KEY, QUICKSTART, cer

CUSTOMERS = [f"customer-{number}" for number in range(8)]


@dataclass(frozen=True)
class Attack:
    """What is done, in this order; ``how`` makes one of several copies."""

    name: str
    steps: tuple[Step, ...] = ()
    copies: int = 1
    how: pirate.Combine = pirate.average


_fp16 = pirate.quantized(precision="fp16")
_int8 = pirate.quantized(precision="int8")
_int4 = pirate.quantized(precision="int4")
_static = pirate.quantized(precision="int8", method="static")
_scaled = pirate.rearranged(1)
_tuned = pirate.tuned(60, 1e-4)
ATTACKS = (
    Attack("none"),
    Attack("fp16", (_fp16,)),
    Attack("int8, dynamic, per channel", (_int8,)),
    Attack("int8, dynamic, per tensor", (pirate.quantized_by_tensor,)),
    Attack("int8, static", (_static,)),
    Attack("int4", (_int4,)),
    *(Attack(f"pruned by {share} %", (pirate.pruned(share / 100),)) for share in (30, 50, 60)),
    *(Attack(f"noise of {share} %", (pirate.noisy(share / 100),)) for share in (1, 5, 10)),
    Attack("half the rank", (pirate.each(pirate.of_half_rank),)),
    Attack("60 steps of training at 1e-4", (_tuned,)),
    Attack("60 steps of training at 1e-3", (pirate.tuned(60, 1e-3),)),
    Attack("permuted", (pirate.rearranged(0),)),
    Attack("permuted and scaled", (_scaled,)),
    Attack("the encoder alone", (pirate.encoder_alone,)),
    Attack("overwritten", (pirate.overwritten(0.05),)),
    Attack("overwritten, 10 x", (pirate.overwritten(0.5),)),
    Attack("fp16, int8, pruned by 50 %, noise of 5 %",
           (_fp16, _int8, pirate.pruned(0.5), pirate.noisy(0.05))),
    Attack("permuted and scaled, int8", (_scaled, _int8)),
    Attack("permuted, int8, pruned by 50 %, noise of 5 %",
           (pirate.rearranged(0), _int8, pirate.pruned(0.5), pirate.noisy(0.05))),
    Attack("permuted and scaled, int8, pruned by 50 %", (_scaled, _int8, pirate.pruned(0.5))),
    Attack("overwritten, 10 x, int4", (pirate.overwritten(0.5), _int4)),
    Attack("60 steps of training at 1e-4, int8", (_tuned, _int8)),
    *(Attack(f"{count} averaged", copies=count) for count in (2, 3, 5, 8)),
    *(Attack(f"median of {count}", copies=count, how=pirate.median) for count in (3, 5, 8)),
    *(Attack(f"minority vote of {count}", copies=count, how=pirate.minority)
      for count in (3, 5, 8)),
    Attack("5 averaged, int8", (_int8,), 5),
    Attack("5 averaged, permuted and scaled, int8", (_scaled, _int8), 5),
    Attack("5 averaged, int8, pruned by 50 %", (_int8, pirate.pruned(0.5)), 5),
    Attack("minority vote of 5, int8", (_int8,), 5, pirate.minority),
    Attack("median of 5, int8, noise of 1 %", (_int8, pirate.noisy(0.01)), 5, pirate.median),
    Attack("8 averaged, int8", (_int8,), 8),
)  # fmt: skip
# What wrong customers and wrong keys are tried on.
SAMPLED = (
    "none",
    "fp16, int8, pruned by 50 %, noise of 5 %",
    "permuted and scaled, int8",
    "5 averaged, int8",
    "minority vote of 5, int8",
)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=QUICKSTART / "conformer_digits_cards")
    parser.add_argument("--manifest", type=Path, default=QUICKSTART / "data/all.jsonl")
    parser.add_argument(
        "--calibration", type=Path, default=QUICKSTART / "data/calibration.jsonl",
        help="for static int8 and for training",
    )  # fmt: skip
    parser.add_argument("--precision", choices=["fp32", "int8"], default="int8")
    parser.add_argument("--strength", type=float, default=0.05)
    parser.add_argument("--customers", type=int, default=20_000, help="wrong ones")
    parser.add_argument("--keys", type=int, default=2_000, help="wrong ones")
    parser.add_argument(
        "--untrained", action="store_true",
        help="random weights: no error rates",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="attacks whose names are like it"
    )
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-attacks-") as workspace:
        report = Trial(Path(workspace), options).run()
    print(json.dumps(report, indent=1) if options.json else table(report))


class Trial:
    """One model, shipped one way."""

    def __init__(self, workspace: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.workspace = workspace
        self.began = time.monotonic()
        self._numbers = itertools.count()
        files = run_until_optimized(options.model, options.manifest, workspace)
        self.optimized = files["optimized"]
        self.original = read_original(self.optimized)
        self.shapes = [(item.shape[0], item.shape[1]) for item in self.original.matrices.values()]
        self.description = ModelDescription.read(files["description"])
        given = {
            "onnx": self.optimized,
            "description": files["description"],
            "manifest": options.calibration,
        }
        ranges = run_stage(Calibrate(), given, workspace, CalibrateParams(observer="minmax"))
        self.tools = Tools(self._new, ranges / "calibration.json", self._tune)
        params = QuantizeParams(precision=options.precision)
        self.unmarked = run_stage(Quantize(), {"onnx": self.optimized}, workspace, params) / "onnx"
        self.copies = [self._copy(name) for name in CUSTOMERS]
        self.samples: list[Any] = []
        if not options.untrained:
            recognizer = load_recognizer(self.description, self.unmarked, threads=1)
            self.samples = read_samples(recognizer, options.manifest)

    def run(self) -> dict[str, Any]:
        """Error rates are CER as fractions, None where there are none."""
        marks = [self._cer(copy.graphs) for copy in self.copies]
        unmarked = self._cer(self.unmarked)
        self._say(f"CER {_rate(unmarked)} unmarked; marked {', '.join(map(_rate, marks))}")
        rows: list[dict[str, Any]] = []
        found: dict[str, dict[str, Any]] = {}
        for attack in self._wanted():
            suspect = self._attacked(attack)
            row: dict[str, Any] = {"attack": attack.name, "copies": attack.copies, "z": None}
            if evidence := self._residuals(suspect.graphs):
                guilty = Evidence([evidence], KEY).z(CUSTOMERS[: attack.copies])
                row["z"] = float(guilty.min())
            if evidence and attack.name in SAMPLED:
                found[attack.name] = evidence
            row["cer"] = self._cer(suspect.graphs)
            rows.append(row)
            self._drop()
            self._say(f"{attack.name}: z {_z(row['z'])}, CER {_rate(row['cer']) or 'none'}")
        chance = {}
        if found:
            suspects = list(found.values())
            wrong = [f"stranger-{number}" for number in range(self.options.customers)]
            chance["wrong customers"] = _chance(Evidence(suspects, KEY).z(wrong), list(found))
            self._say(f"wrong customers: {chance['wrong customers']}")
            keys = [number.to_bytes(32, "little") for number in range(1, self.options.keys + 1)]
            z = np.concatenate([Evidence(suspects, key).z(CUSTOMERS[:1]) for key in keys])
            chance["wrong keys"] = _chance(z, list(found))
            self._say(f"wrong keys: {chance['wrong keys']}")
        return {
            "precision": self.options.precision,
            "strength": self.options.strength,
            "weights": sum(item.size for item in self.original.matrices.values()),
            "utterances": len(self.samples),
            "cer_unmarked": unmarked,
            "cer_marked": marks,
            "attacks": rows,
            "chance": chance,
            "seconds": time.monotonic() - self.began,
        }

    def _wanted(self) -> list[Attack]:
        patterns = self.options.only or ["*"]
        return [
            attack
            for attack in ATTACKS
            if any(fnmatchcase(attack.name, pattern) for pattern in patterns)
        ]

    def _attacked(self, attack: Attack) -> Copy:
        copy = self.copies[0]
        if attack.copies > 1:
            copy = pirate.combined(self.copies[: attack.copies], attack.how, self.tools)
        for step in attack.steps:
            copy = step(copy, self.tools)
        return copy

    def _residuals(self, graphs: Path) -> dict[str, Any]:
        """As ``asrpack trace`` gets them; none where it finds none of the original's matrices."""
        matches = match(self.original.matrices, read_suspect(graphs, self.shapes).matrices)
        aligned = {item.name: item.aligned.values for item in matches}
        return residuals(self.original.matrices, aligned) if aligned else {}

    def _copy(self, customer: str) -> Copy:
        folder = self._new()
        Watermark().run(
            WatermarkParams(customer=customer, strength=self.options.strength),
            {"original": self.optimized, "onnx": self.unmarked},
            folder,
            Context(secrets={"key": armour(WATERMARK, KEY)}),
        )
        return Copy(folder / "onnx", self.optimized)

    def _tune(self, values: pirate.Values, steps: int, rate: float) -> Path:
        """Always of the first customer's copy, so once for each setting."""
        workspace = self.workspace / f"tuned-{steps}-{rate}"
        if not workspace.exists():
            fine_tuned(
                values, self.original.matrices, self.workspace, self.options.calibration, workspace,
                steps=steps, rate=rate,
            )  # fmt: skip
        return workspace / "optimize/out/onnx"

    def _cer(self, graphs: Path) -> float | None:
        whole = {f"{name}.onnx" for name in self.description.graphs}
        if not self.samples or whole - {path.name for path in graphs.iterdir()}:
            return None
        return cer(load_recognizer(self.description, graphs, threads=1), self.samples)

    def _new(self) -> Path:
        folder = self.workspace / f"folder-{next(self._numbers)}"
        folder.mkdir()
        return folder

    def _drop(self) -> None:
        """Leaves the customers' copies."""
        kept = {copy.graphs.parent for copy in self.copies}
        for folder in self.workspace.glob("folder-*"):
            if folder not in kept:
                shutil.rmtree(folder)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", file=sys.stderr, flush=True)


def _chance(z: np.ndarray, suspects: list[str]) -> dict[str, Any]:
    """Of scores (tested, suspects) that are all chance."""
    return {
        "tested": len(z),
        "suspects": suspects,
        "greatest": float(z.max()),
        "deviations": [float(z.std(axis=0).min()), float(z.std(axis=0).max())],
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    head = (
        f"shipped in {report['precision']}, strength {report['strength']}, "
        f"{report['weights'] / 1e6:.1f} M marked weights; {report['seconds'] / 60:.0f} minutes"
    )
    lines = [head, "", "| attack | z, least of the guilty | CER |", "| --- | --- | --- |"]
    lines += [
        f"| {row['attack']} | {_z(row['z'])} | {_rate(row['cer'])} |" for row in report["attacks"]
    ]
    lines.append("")
    for what, chance in report["chance"].items():
        least, most = chance["deviations"]
        lines.append(
            f"{chance['tested']} {what} on each of {len(chance['suspects'])} suspects: greatest "
            f"z {chance['greatest']:.2f}, standard deviation {least:.3f} to {most:.3f}"
        )
    if report["utterances"]:
        change = [value - report["cer_unmarked"] for value in report["cer_marked"]]
        lines.append(
            f"CER on {report['utterances']} utterances: {_rate(report['cer_unmarked'])} unmarked; "
            f"by the mark {min(change):+.2%} to {max(change):+.2%} in {len(change)} copies"
        )
    return "\n".join(lines)


def _z(value: float | None) -> str:
    return "not aligned" if value is None else f"{value:.1f}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


if __name__ == "__main__":
    main()
