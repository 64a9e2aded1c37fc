"""Seconds a customer, by stage, of `asrpack personalize`, without the gate's evaluation.

Builds a conformer of 12 x 256 with random weights (or takes an artifact), then makes bundles for
more and more customers in one process. The evaluation is the build's own, copied: it takes as long
as the test set is, and is measured with every build. A folder is removed once it was timed.

    python -m benchmarks.personalize                                # about 15 minutes
    python -m benchmarks.personalize --artifact DIR --counts 10 30 --jobs 2 --json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asrpack.bundle.keys import public_pem, read_key
from asrpack.pipeline.build import Request as BuildRequest
from asrpack.pipeline.build import run_builds
from asrpack.pipeline.cache import Cache, default_root
from asrpack.pipeline.customer import CustomerBuilds, Plan
from asrpack.pipeline.personalize import Request, prepare
from asrpack.pipeline.runner import Runner
from asrpack.protect.keys import generate, write_key_pair
from asrpack.recipe.customers import Customer
from asrpack.stages import stage
from asrpack.stages.evaluate import Evaluate
from benchmarks.make_conformer import configuration, write_model

QUICKSTART = Path(__file__).parents[1] / "recipes/quickstart"
UTTERANCES = 3
RECIPE = """\
schema: 1
name: conformer
version: "1"
model: {{source: paddlespeech, path: model}}
data: {{test: {{manifest: test.jsonl}}}}
decode: {{method: ctc_greedy_search}}
builds: {{cpu: {{target: onnxruntime, precision: {precision}}}}}
protect:
  watermark: {{key: {{file: vendor.mark}}, customer: nobody}}
  encrypt: {{recipients: [{{file: vendor.pub}}]}}
  sign: {{key: {{file: signing.pem}}}}
"""


class Copied(Evaluate):
    """The build's own evaluation, in the place of one of the customer's copy."""

    isolated = False

    def __init__(self, evaluation: Path) -> None:
        self._evaluation = evaluation

    def run(
        self, params: Any, inputs: Mapping[str, Path], out: Path, context: stage.Context
    ) -> None:
        shutil.copyfile(self._evaluation, out / "evaluation.json")


@dataclass
class Bench:
    """One process's."""

    plan: Plan
    builds: CustomerBuilds

    @classmethod
    def open(cls, plan: Plan) -> Bench:
        builds = CustomerBuilds(plan, lambda event: None)
        copied = Copied(plan.locked.folder / "evaluation.json")
        builds.nodes["evaluate"] = replace(builds.nodes["evaluate"], stage=copied)
        return cls(plan, builds)

    def make(self, customer: Customer) -> dict[str, Any]:
        """Wall and CPU seconds, and those of each stage."""
        began, used = time.perf_counter(), time.process_time()
        outcome = self.builds.make(customer)
        wall, cpu = time.perf_counter() - began, time.process_time() - used
        assert outcome.status == "made", outcome
        size = sum(i.stat().st_size for i in (outcome.folder / "bundle/model").iterdir())
        shutil.rmtree(outcome.folder)
        return {"wall": wall, "cpu": cpu, "stages": dict(outcome.seconds), "bytes": size}


_bench: Bench | None = None


def _begin(plan: Plan) -> None:
    global _bench
    _bench = Bench.open(plan)


def _make(customer: Customer) -> dict[str, Any]:
    assert _bench is not None
    return _bench.make(customer)


def measure(plan: Plan, counts: list[int], jobs: int) -> list[dict[str, Any]]:
    """One row for each count; every row starts processes of its own."""
    rows = []
    for count in counts:
        customers = [_customer(f"customer-{count}-{number}") for number in range(count)]
        with ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(plan,)
        ) as pool:
            began = time.perf_counter()
            made = list(pool.map(_make, customers))
            total = time.perf_counter() - began
        # The first of a process reads the unmarked model.
        later = made[jobs:] or made
        rows.append(
            {
                "customers": count,
                "jobs": jobs,
                "seconds": total,
                "seconds_a_customer": total / count,
                "bytes": made[0]["bytes"],
                "first": max(item["wall"] for item in made[:jobs]),
                "wall": _median(item["wall"] for item in later),
                "cpu": _median(item["cpu"] for item in later),
                "last_ten_wall": _median(item["wall"] for item in made[-10:]),
                "last_ten_cpu": _median(item["cpu"] for item in made[-10:]),
                "stages": {
                    name: _median(item["stages"][name] for item in later)
                    for name in made[0]["stages"]
                },
                "peak_memory": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10,
            }
        )
    return rows


def _median(values: Any) -> float:
    return round(statistics.median(values), 3)


def _customer(name: str) -> Customer:
    key = read_key(generate("recipient"), name)
    return Customer(name, public_pem(key).decode(), key.fingerprint)


def build(folder: Path, precision: str) -> Path:
    """A conformer of 12 x 256 and its build."""
    write_model(folder / "model", configuration())
    for kind, name in (("signing", "signing.pem"), ("watermark", "vendor.mark")):
        write_key_pair(generate(kind), folder / name)  # type: ignore[arg-type]
    write_key_pair(generate("recipient"), folder / "vendor.key")
    lines = (QUICKSTART / "data/test.jsonl").read_text().splitlines()[:UTTERANCES]
    place = f'"audio": "{QUICKSTART / "data"}/'
    text = "\n".join(line.replace('"audio": "', place) for line in lines)
    (folder / "test.jsonl").write_text(text + "\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(precision=precision))
    run_builds(BuildRequest(folder / "recipe.yaml", out=folder), lambda event: None)
    return folder / "conformer-1-cpu"


def run(artifact: Path, folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures, with bundles made below ``folder``."""
    request = Request(artifact, [], folder / "out", folder / "registry.sqlite")
    plan, steps = prepare(request)
    cache = Cache(default_root())
    runner = Runner(plan.locked.build, cache, plan.digests, folder / "logs", lambda event: None)
    return measure(replace(plan, entries=runner.run(steps)), options.counts, options.jobs)


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown; seconds."""
    stages = [name for name in rows[0]["stages"] if name not in ("evaluate", "gate")]
    head = ["customers", "jobs", "MB", "all", "each", "first", "wall", "CPU", "last ten, CPU"]
    head += stages
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [str(row["customers"]), str(row["jobs"]), f"{row['bytes'] / 1e6:.0f}"]
        names = ("seconds", "seconds_a_customer", "first", "wall", "cpu", "last_ten_cpu")
        cells += [f"{row[name]:.2f}" for name in names]
        cells += [f"{row['stages'][name]:.2f}" for name in stages]
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(f"\npeak memory of a process: {rows[-1]['peak_memory'] / 1e6:.0f} MB")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--artifact", type=Path, help="a build with a watermark; else one is made")
    parser.add_argument("--precision", choices=["fp32", "fp16", "int8"], default="fp32")
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 30, 100])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-personalize-") as folder:
        artifact = options.artifact or build(Path(folder), options.precision)
        rows = run(artifact, Path(folder), options)
    print(json.dumps(rows, indent=1) if options.json else table(rows))


if __name__ == "__main__":
    main()
