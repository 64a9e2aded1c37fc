"""Measurements for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def table(found: Mapping[str, Any]) -> str:
    """What :func:`asrpack.runtime.bench.run.measure_bundle` found."""
    return "\n".join(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    bundle, host, files = found["bundle"], found["host"], found["files"]
    yield (
        f"{bundle['name']} {bundle['version']} ({bundle['build']}), {bundle['precision']} on "
        f"{bundle['provider']}, {files['decode']}"
    )
    load = host["load_average"][0]
    yield (
        f"{host['cpu'] or host['machine']}, {host['cores']} CPUs, "
        f"{', '.join(host['int8_features'])}; ONNX Runtime {host['onnxruntime']}; "
        f"load average before: {load:.1f}"
    )
    if load > host["cores"] / 2:
        yield "others use this machine: figures are worse than they need be, and less sure"
    yield from _start(found["cold_start"])
    yield from _files(files)
    if "long" in found:
        yield from _long(found["long"])
    if "load" in found:
        yield from _load(found["load"])


def _start(start: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    heading = f"cold start, {start['processes']} processes, files in the page cache"
    yield f"{heading:<52}{'median':>9}{'least':>9}{'most':>9}   ms"

    def row(name: str, spread: Mapping[str, Any]) -> str:
        values = (spread["median"], *spread["range"])
        return f"{name:<52}" + "".join(f"{value * 1000:9.0f}" for value in values)

    for name, spread in start["phases"].items():
        yield row(f"  {name}", spread)
    yield row("process to first text", start["seconds"])
    yield row("(verification alone, in processes of its own)", start["verify_alone"])


def _files(files: Mapping[str, Any]) -> Iterator[str]:
    rtf, memory = files["rtf"], files["memory"]
    yield ""
    yield (
        f"{files['recordings']} recordings, {files['audio_seconds']:.1f} s, one by one, "
        f"{files['rounds']} rounds after one of warm-up"
    )
    yield (
        f"  RTF {rtf['median']:.4f} ({rtf['range'][0]:.4f} to {rtf['range'][1]:.4f}; "
        f"warm-up {files['warmup_rtf']:.4f})"
    )
    yield f"  file to text: {_latency(files['latency'])}"
    yield (
        f"  peak memory: loading {memory['loading'] / 1e6:.0f} MB, "
        f"running {memory['running'] / 1e6:.0f} MB"
    )


def _long(long: Mapping[str, Any]) -> Iterator[str]:
    memory = long["memory"]
    slope = memory["slope"]
    yield ""
    yield (
        f"{long['audio_seconds'] / 60:g} min of the recordings again and again, "
        f"{long['segments']} segments with text: {long['seconds']:.1f} s, RTF {long['rtf']:.4f}"
    )
    told = "too short to tell" if slope is None else f"{slope / 1e6:+.1f} MB an hour of audio"
    yield f"  memory: peak {memory['peak'] / 1e6:.0f} MB; after the first quarter {told}"


def _load(load: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    batches = "utterances joined to batches" if load["batches"] else "one utterance a time each"
    yield f"clients at a time, {load['workers']} workers, {batches}; from samples to text"
    yield f"{'clients':>9}{'x real time':>13}{'p50':>8}{'p95':>8}{'p99':>8}   ms   errors"
    for level in load["levels"]:
        latency = level["latency"]
        cells = [f"{level['clients']:>9}{level['times_real_time']:>13.1f}"]
        for rank in ("p50", "p95", "p99"):
            cells.append(f"{latency[rank] * 1000:8.0f}" if rank in latency else f"{'-':>8}")
        errors = ", ".join(f"{code} {number}" for code, number in level["errors"].items())
        yield f"{''.join(cells)}        {errors or 'none'}"


def _latency(latency: Mapping[str, Any]) -> str:
    ranks = ", ".join(
        f"{name} {latency[name] * 1000:.0f} ms" for name in ("p50", "p95", "p99", "max")
    )
    return f"{ranks} of {latency['count']}"
