"""How fast a large bundle is verified and decrypted, beside the machine's SHA-256, and its memory.

A model of random matrix products in fp32 is encrypted and signed. Then, in turn in each round, on
all processors that this process may use:

    sha256    hashlib over as many bytes in memory, a thread a processor
    openssl   `openssl speed -evp sha256 -multi N`, blocks of 1 MiB, where openssl is installed
    verify    signature and the SHA-256 of every file
    decrypt   payloads read, decrypted and authenticated, nothing hashed
    open      what running a bundle does: verified and decrypted, each payload read once

Rates are in bytes of plaintext, by the clock and by processor time; ratios are to sha256 of the
same round. Then a process of its own opens the bundle and loads the graph into ONNX Runtime; its
peak memory is VmHWM, less what it was before (interpreter and libraries), to the model's size. All
its memory is private: none is in files in memory, which VmHWM would not count.

    python -m benchmarks.opening                   # 1 GB: minutes, 4 GB of memory and 2 of disk
    python -m benchmarks.opening --size 300 --rounds 3 --json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asrpack.bundle.envelope import ENVELOPE_FILE, Envelope, open_envelope
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.payload import Decryption, Part
from asrpack.bundle.plaintext import Plaintext
from asrpack.bundle.verify import processors, verify_bundle
from asrpack.runtime.host import describe_host
from benchmarks.large_bundle import LargeBundle, make_large_bundle

PIECE = 1 << 20
BLOCK = 64 << 20
_LOADER = """
import re, sys, time
from pathlib import Path
import numpy, onnxruntime
import asrpack.runtime.recognizer
from asrpack.bundle.secrets import SecretSource
from asrpack.runtime.load import open_bundle

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

before, began = peak(), time.monotonic()
opened = open_bundle(Path(sys.argv[1]), SecretSource("file", sys.argv[2]), [Path(sys.argv[3])])
took, loaded = time.monotonic() - began, peak()
samples = numpy.zeros(16000, numpy.float32)
opened.recognizer.transcribe(samples)
print(before, loaded, peak(), took)
"""


def sha256_in_memory(total: int) -> None:
    """Hashes ``total`` bytes, spread over all processors."""
    block = os.urandom(PIECE) * (BLOCK // PIECE)
    sizes = [min(BLOCK, total - start) for start in range(0, total, BLOCK)]
    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(lambda size: hashlib.sha256(memoryview(block)[:size]), sizes))


def decrypt(bundle: LargeBundle) -> None:
    """Decrypts all payloads, and hashes none."""
    data = (bundle.path / ENVELOPE_FILE).read_bytes()
    header = Envelope.from_json(data).header
    keys = open_envelope(data, bundle.identity)
    files = {item.path: Plaintext(item.size) for item in header.files}

    def run(job: tuple[str, Part]) -> None:
        path, part = job
        decryption = Decryption(part, keys[path], files[path])
        buffer = memoryview(bytearray(PIECE))
        with (bundle.path / part.name).open("rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                decryption(buffer[:count])
        decryption.finish()

    jobs = [(item.path, part) for item in header.files for part in item.parts(header.bundle_id)]
    with ThreadPoolExecutor(processors()) as pool:
        list(pool.map(run, jobs))


def openssl_rate() -> float | None:
    """Bytes a second, or None where there is no openssl."""
    if shutil.which("openssl") is None:
        return None
    command = ["openssl", "speed", "-evp", "sha256", "-multi", str(processors())]
    out = subprocess.run(
        [*command, "-bytes", str(PIECE), "-seconds", "2"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"^sha256\s+([\d.]+)k\s*$", out, re.MULTILINE | re.IGNORECASE)
    return float(found[1]) * 1000 if found else None


def timed(work: Callable[[], object], size: int) -> dict[str, float]:
    """Bytes a second of the clock, and of processor time."""
    cpu, clock = time.process_time(), time.monotonic()
    work()
    return {
        "rate": size / (time.monotonic() - clock),
        "cpu_rate": size / (time.process_time() - cpu),
    }


def load(bundle: LargeBundle) -> dict[str, float]:
    """Seconds, and peak memory of a process that opens the bundle and loads its graph."""
    arguments = [str(bundle.path), str(bundle.identity_file), str(bundle.trust_file)]
    done = subprocess.run(
        [sys.executable, "-c", _LOADER, *arguments], capture_output=True, text=True, check=True
    )
    before, loaded, run, took = map(float, done.stdout.split())
    return {"seconds": took, "before": before, "loaded": loaded, "run": run}


def measure(bundle: LargeBundle, rounds: int) -> dict[str, Any]:
    """All figures of all rounds."""
    size = bundle.plaintext
    works: dict[str, Callable[[], object]] = {
        "sha256": lambda: sha256_in_memory(size),
        "verify": lambda: verify_bundle(bundle.path, bundle.trust),
        "decrypt": lambda: decrypt(bundle),
        "open": lambda: open_sealed(bundle.path, bundle.identity, bundle.trust),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in works}
    openssl, loads = [], []
    for work in works.values():
        work()  # once for the page cache
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(timed(work, size))
        openssl.append(openssl_rate())
        loads.append(load(bundle))
    ratios = {
        name: {
            kind: [
                item[kind] / base[kind] for item, base in zip(items, found["sha256"], strict=True)
            ]
            for kind in ("rate", "cpu_rate")
        }
        for name, items in found.items()
    }
    return {
        "size": size,
        "processors": processors(),
        "rounds": found,
        "ratios": ratios,
        "openssl": openssl,
        "load": loads,
    }


def report(result: dict[str, Any]) -> None:
    """Medians over the rounds, least and greatest in brackets."""
    print(f"{result['size'] / 1e6:.0f} MB, {result['processors']} processors, medians")
    print(f"{'':10}{'GB/s':>8}{'to sha256':>24}{'GB per CPU-second':>20}{'to sha256':>24}")
    for name, items in result["rounds"].items():
        line = f"{name:10}"
        for kind, width in (("rate", 8), ("cpu_rate", 20)):
            ratios = result["ratios"][name][kind]
            median = statistics.median(item[kind] for item in items) / 1e9
            spread = f"{statistics.median(ratios):.0%} ({min(ratios):.0%} to {max(ratios):.0%})"
            line += f"{median:{width}.2f}{spread:>24}"
        print(line)
    if rates := [rate for rate in result["openssl"] if rate]:
        print(f"{'openssl':10}{statistics.median(rates) / 1e9:8.2f}")
    loads, size = result["load"], result["size"]
    print(f"\nload: {statistics.median(item['seconds'] for item in loads):.1f} s; peak memory, MB:")
    for name in ("before", "loaded", "run"):
        peak = statistics.median(item[name] for item in loads)
        more = statistics.median((item[name] - item["before"]) / size for item in loads)
        ratio = "" if name == "before" else f"  {more:.3f} x model above before"
        print(f"{name:10}{peak / 1e6:8.0f}{ratio}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=1000, metavar="MB", help="of the model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-opening-") as folder:
        result = measure(make_large_bundle(Path(folder), options.size * 1_000_000), options.rounds)
    if options.json:
        print(json.dumps({"host": describe_host(), **result}, indent=1))
    else:
        report(result)


if __name__ == "__main__":
    main()
