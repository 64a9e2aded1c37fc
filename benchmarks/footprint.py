"""Peak memory and cold start of int8 against fp32, on a conformer of real size.

Random weights (12 blocks of 256, 4233 units); each process loads the model and transcribes eight
recordings of the quickstart's calibration set by attention rescoring.

    python -m benchmarks.footprint                 # about 3 minutes, 2 GB of memory
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from asrpack.measure.footprint import Job, measure_footprints
from asrpack.recipe.manifest import read_manifest
from asrpack.runtime.host import describe_host
from benchmarks.int8 import MANIFEST, build

UTTERANCES = 8


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-footprint-") as workspace:
        fp32, int8 = build(Path(workspace), options.blocks)
        description = Path(workspace) / "import" / "out" / "model.json"
        recordings = tuple(item.audio for item in read_manifest(MANIFEST)[:UTTERANCES])
        jobs = {
            name: Job(description, folder, recordings, "attention_rescoring", options.threads)
            for name, folder in (("fp32", fp32), ("int8", int8))
        }
        found = measure_footprints(jobs)
    if options.json:
        print(json.dumps({"host": describe_host(), **found}, indent=1))
        return
    print(f"{'':6}{'runtime':>10}{'loading':>10}{'running':>10}{'cold start':>12}   MB, s")
    for name in jobs:
        memory, start = found["memory"][name], found["cold_start"][name]["seconds"]
        peaks = (memory["runtime"], memory["loading"]["peak"], memory["running"]["peak"])
        print(f"{name:6}" + "".join(f"{peak / 1e6:10.1f}" for peak in peaks) + f"{start:12.2f}")


if __name__ == "__main__":
    main()
