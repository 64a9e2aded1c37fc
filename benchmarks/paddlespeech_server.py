"""``asrpack serve`` against PaddleSpeech's own HTTP server: the same weights, requests and CPUs.

Makes a conformer of real size (12 blocks of 256, 4233 units, random weights), or takes a model, and
builds bundles of it in fp32 and int8. Every server runs in a process of its own, all of them
confined to the same CPUs, and is sent what PaddleSpeech's client sends: ``POST /paddlespeech/asr``
with a WAV file in base64, on a connection of its own. All decode by one method, PaddleSpeech's
default unless another is given.

Servers take turns; the others idle. A turn is so many whole rounds of the recordings, by so many
clients at a time, each of which sends the next one when it has the last one's text. Its throughput
is audio by the clock, from the first request to the last answer. CPU time is of the server's
process; the clients', in this one, is told apart. Texts of PaddleSpeech and of asrpack's fp32 must
be equal, and those of many clients equal to those of one, or it is an error; what int8 changes is
counted.

    python -m benchmarks.paddlespeech_server                      # about 15 minutes, 4 GB
    python -m benchmarks.paddlespeech_server --decode ctc_greedy_search --clients 1 --json
    python -m benchmarks.paddlespeech_server --model recipes/quickstart/conformer_digits_cards
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import soundfile

from asrpack.frontends.model_directory import find_checkpoint
from asrpack.pipeline.build import Request, run_builds
from asrpack.protect.keys import generate, write_key_pair
from asrpack.runtime.host import describe_host
from benchmarks.int8 import SETTLING
from benchmarks.make_conformer import configuration, write_model
from benchmarks.parity import SHARPNESS
from benchmarks.rivals import WHOLE, agreement, spread, write_audio
from benchmarks.server_systems import Server, asrpack, paddlespeech

THEIRS, EXACT, QUANTIZED = "PaddleSpeech", "asrpack fp32", "asrpack int8"
# Of rounds of the recordings: who is sooner done with one gets more, and turns take about as long.
FACTOR = {THEIRS: 1, EXACT: 4, QUANTIZED: 8}
# At the end of a turn clients run out of work: each has so many requests at least.
REQUESTS = 3
PACKAGES = ("onnxruntime", "paddlespeech", "paddlepaddle")
RECIPE = """\
schema: 1
name: rival
version: "1"
model: {source: paddlespeech, path: model}
data: {test: {manifest: test.jsonl}}
builds:
  fp32: {target: onnxruntime, precision: fp32}
  int8: {target: onnxruntime, precision: int8}
protect:
  encrypt: {recipients: [{file: customer.pub}]}
  sign: {key: {file: vendor.pem}}
"""


@dataclass(frozen=True)
class Turn:
    """What a turn took.

    Attributes:
        requests: how many were answered.
        seconds: from the first request to the last answer.
        cpu: seconds of the server's process.
        clients_cpu: seconds of the clients.
    """

    requests: int
    seconds: float
    cpu: float
    clients_cpu: float


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="a PaddleSpeech model directory instead")
    parser.add_argument("--decode", default="attention_rescoring", metavar="METHOD")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 10])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpus", type=int, nargs="+", default=sorted(os.sched_getaffinity(0)))
    parser.add_argument("--paddle-threads", type=int, help="default: as many as CPUs")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    threads = options.paddle_threads or len(options.cpus)
    with tempfile.TemporaryDirectory(prefix="asrpack-server-") as workspace, ExitStack() as stack:
        folder = Path(workspace)
        if options.model is None:
            config = configuration()
            config["decode"] |= WHOLE
            write_model(folder / "model", config, sharpness=SHARPNESS)
        else:
            shutil.copytree(options.model, folder / "model")
        audio = write_audio(folder)
        build(folder, audio)
        opening = servers_of(folder, options.decode, options.cpus, threads)
        servers = {name: stack.enter_context(server) for name, server in opening.items()}
        report = compare(servers, audio, options.clients, options.rounds)
    report |= {"method": options.decode, "cpus": options.cpus, "paddle_threads": threads}
    print(json.dumps(report, indent=1) if options.json else table(report))


def build(folder: Path, audio: Sequence[Path]) -> None:
    """Bundles of the model that is there."""
    write_key_pair(generate("signing"), folder / "vendor.pem")
    write_key_pair(generate("recipient"), folder / "customer.key")
    lines = [json.dumps({"audio": str(path), "text": "any"}) for path in audio]
    (folder / "test.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    run_builds(Request(folder / "recipe.yaml", out=folder), lambda event: None)


def servers_of(
    folder: Path, method: str, cpus: Sequence[int], paddle_threads: int
) -> dict[str, AbstractContextManager[Server]]:
    """All of them, not started yet."""
    model, keys = folder / "model", (folder / "customer.key", folder / "vendor.pub")
    checkpoint = find_checkpoint(model, None)
    return {
        THEIRS: paddlespeech(model, checkpoint, method, cpus, paddle_threads),
        EXACT: asrpack(folder / "rival-1-fp32/bundle", *keys, method, cpus),
        QUANTIZED: asrpack(folder / "rival-1-int8/bundle", *keys, method, cpus),
    }


def compare(
    servers: Mapping[str, Server], audio: Sequence[Path], counts: Sequence[int], rounds: int
) -> dict[str, Any]:
    """Times servers in turn and compares their texts.

    Args:
        servers: :data:`THEIRS` and :data:`EXACT` among them.
        counts: of clients at a time.
        rounds: of turns of every server with every count.
    """
    names = list(servers)
    bodies = [request_body(path) for path in audio]
    texts = {name: [server.ask(body) for body in bodies] for name, server in servers.items()}
    same = {name: agreement(texts[THEIRS], texts[name]) for name in names}
    if same[EXACT]["equal"] != len(audio):
        sys.exit(f"the texts differ:\n{THEIRS}: {texts[THEIRS]}\n{EXACT}: {texts[EXACT]}")
    turns: dict[tuple[str, int], list[Turn]] = {}
    for number in range(rounds):
        for count in counts:
            for place in range(len(names)):
                name = names[(place + number) % len(names)]
                time.sleep(SETTLING)
                times = FACTOR[name] * math.ceil(REQUESTS * count / len(audio))
                done = take_turn(servers[name], bodies, texts[name], count, times)
                turns.setdefault((name, count), []).append(done)
    durations = [soundfile.info(path).duration for path in audio]
    mean = statistics.mean(durations)
    return {
        "host": describe_host() | {name: version(name) for name in PACKAGES},
        "utterances": durations,
        "rounds": rounds,
        "servers": {
            name: {"peak_bytes": servers[name].peak_bytes(), "agreement": same[name]}
            for name in names
        },
        "clients": {
            count: {name: summary(turns[name, count], turns[THEIRS, count], mean) for name in names}
            for count in counts
        },
    }


def request_body(path: Path) -> bytes:
    """As PaddleSpeech's client has it."""
    audio = base64.b64encode(path.read_bytes()).decode()
    fields = {"audio": audio, "audio_format": "wav", "sample_rate": 16000, "lang": "zh_cn"}
    return json.dumps(fields).encode()


def take_turn(
    server: Server, bodies: Sequence[bytes], texts: Sequence[str], clients: int, times: int
) -> Turn:
    """So many rounds of the recordings, by so many clients."""
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(server.ask, bodies[:1] * clients))  # wakes all threads up
        used, own, began = server.cpu_seconds(), time.process_time(), time.perf_counter()
        found = list(pool.map(server.ask, list(bodies) * times))
        seconds = time.perf_counter() - began
    if found != list(texts) * times:
        sys.exit(f"texts with {clients} clients at a time differ from those with one")
    own_cpu = time.process_time() - own
    return Turn(len(found), seconds, server.cpu_seconds() - used, own_cpu)


def summary(turns: Sequence[Turn], theirs: Sequence[Turn], seconds: float) -> dict[str, Any]:
    """A server's figures, and its ratios to PaddleSpeech's of the same round.

    Args:
        seconds: of audio of a request, in the mean.
    """

    def median(figures: Sequence[float]) -> float:
        return statistics.median(figures)

    speed = [turn.requests / turn.seconds for turn in turns]
    cost = [turn.cpu / turn.requests / seconds for turn in turns]
    their_speed = [turn.requests / turn.seconds for turn in theirs]
    their_cost = [turn.cpu / turn.requests / seconds for turn in theirs]
    return {
        "requests_per_second": median(speed),
        "times_real_time": median(speed) * seconds,
        "throughput_ratio": spread([a / b for a, b in zip(speed, their_speed, strict=True)]),
        "cpu_seconds_per_audio_second": median(cost),
        "cpu_ratio": spread([b / a for a, b in zip(cost, their_cost, strict=True)]),
        "clients_cpu_share": median([turn.clients_cpu / turn.seconds for turn in turns]),
    }


def table(report: Mapping[str, Any]) -> str:
    """The report for people, its table in Markdown."""
    lines = [f"{name}: {value}" for name, value in report["host"].items()]
    lines += [
        f"method: {report['method']}",
        f"CPUs of a server: {report['cpus']}; threads of Paddle: {report['paddle_threads']}",
        f"utterances: {len(report['utterances'])}, {sum(report['utterances']):.1f} s in all",
        f"rounds: {report['rounds']}",
    ]
    for name, row in report["servers"].items():
        same = row["agreement"]
        lines.append(
            f"{name}: {row['peak_bytes'] / 1e6:.0f} MB at most; text as {THEIRS}: {same['equal']} "
            f"of {same['utterances']}, {same['edits']} edits in {same['units']} units"
        )
    lines += [
        "",
        f"| clients | server | requests/s | x real time | x {THEIRS} | CPU s / s of audio "
        f"| {THEIRS}'s CPU time / its own | CPUs of the clients |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for count, rows in report["clients"].items():
        for name, row in rows.items():
            speed, cpu = row["throughput_ratio"], row["cpu_ratio"]
            lines.append(
                f"| {count} | {name} | {row['requests_per_second']:.2f} "
                f"| {row['times_real_time']:.1f} "
                f"| {speed['median']:.1f} ({speed['least']:.1f} to {speed['greatest']:.1f}) "
                f"| {row['cpu_seconds_per_audio_second']:.4f} "
                f"| {cpu['median']:.1f} ({cpu['least']:.1f} to {cpu['greatest']:.1f}) "
                f"| {row['clients_cpu_share']:.3f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
