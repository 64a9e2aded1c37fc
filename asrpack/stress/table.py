"""Measurements for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asrpack.runtime.bench.statistics import RANKS

_TIMES = {
    "latency": "request to text",
    "first_text": "first audio sent to first text",
    "final_text": "last audio sent to final text",
}


def table(found: Mapping[str, Any]) -> str:
    """What :func:`asrpack.stress.run.measure_service` found."""
    return "\n".join(_lines(found))


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield from headline(found)
    requests, warm_up = found["requests"], found["warm_up"]
    yield (
        f"{found['seconds']:.1f} s{' until it was stopped' if found['interrupted'] else ''}, after "
        f"{warm_up['seconds']:g} s of warm-up ({warm_up['requests']} requests, "
        f"{warm_up['not_ok']} of them not ok)"
    )
    yield ""
    yield f"requests {requests['sent']}: " + ", ".join(
        f"{name} {requests[key]}"
        for key, name in (
            ("ok", "ok"),
            ("refused", "refused"),
            ("failed", "failed"),
            ("wrong", wrong_name(found)),
            ("unfinished", "unfinished"),
        )
    )
    throughput = found["throughput"]
    if requests["ok"] and found["seconds"]:
        yield (
            f"{throughput['requests_per_second']:.2f} requests/s, "
            f"{throughput['times_real_time']:.1f} x real time, RTF {throughput['rtf']:.3f}"
        )
    yield ""
    yield f"{'':<34}" + "".join(f"{rank:>9}" for rank in RANKS) + "   ms"
    for key, name in _TIMES.items():
        if key in found:
            yield f"{name:<34}" + "".join(_cell(found[key], rank) for rank in RANKS)
    yield ""
    yield from remarks(found)


def headline(found: Mapping[str, Any]) -> Iterator[str]:
    """What was asked of which service."""
    load = found["load"]
    yield f"{found['service']['protocol']} at {found['service']['url']}"
    how = "each sends the next recording when it has the last text"
    if load["rate"] is not None:
        how = f"{load['rate']:g} requests/s at random times, latency from when they were due"
    pace = ""
    if load["pace"] is not None:
        pace = f", audio at {load['pace']:g} x its length" if load["pace"] else ", audio at once"
    yield f"{load['concurrency']} clients, {how}{pace}"
    known = load["expected_texts"]
    against = f"the expected texts ({known})" if known else "the first text of each"
    yield (
        f"{load['recordings']} recordings, {load['audio_seconds']:.1f} s; texts are held against "
        f"{against}"
    )


def wrong_name(found: Mapping[str, Any]) -> str:
    """A text can be held against the one expected, or else against the first of its recording."""
    return "wrong text" if found["load"]["expected_texts"] else "differs"


def remarks(found: Mapping[str, Any]) -> Iterator[str]:
    """What else is to be known."""
    yield from _server(found["server"])
    client = found["client"]
    if client["cpu"] is not None and client["late_p99"] is not None:
        late = client["late_p99"] * 1000
        yield f"client: {client['cpu']:.0%} of a core, late by {late:.0f} ms (p99)"
    if client["busy"]:
        yield (
            "the client itself was the bottleneck: these are not the service's figures; "
            "use fewer clients, or several hosts"
        )
    if found["requests"]["unsent"]:
        yield (
            f"{found['requests']['unsent']} requests were due and never sent: no client was free. "
            "The service did not keep up with --rate, or --concurrency is too low for it"
        )
    for code, number in found["refused"].items():
        yield f"refused with {code}: {number}"
    for kind, item in found["failed"].items():
        yield f"failed, {kind}: {item['count']} ({item['example']})"
    for item in found["wrong"]:
        yield f"{wrong_name(found)}, {item['audio']}: {item['found']!r}, not {item['expected']!r}"


def _server(server: Mapping[str, Any] | None) -> Iterator[str]:
    if server is None:
        yield "server: no /metrics there"
        return
    parts = []
    if server["processes"] > 1:
        parts.append(f"{server['processes']} processes answered (it restarted, or has several)")
    if memory := server.get("memory"):
        parts.append(_memory(memory))
    if "cpu" in server:
        parts.append(f"{server['cpu']:.2f} cores")
    if "jobs" in server:
        parts.append(f"at most {server['jobs']['most']:.0f} jobs")
    if "queue" in server:
        parts.append(f"{server['queue']['most']:.0f} utterances waiting")
    yield f"server: {'; '.join(parts) or 'its /metrics tells nothing of it'}"


def _memory(memory: Mapping[str, Any]) -> str:
    peak = f"{memory['peak'] / 1e6:.0f}"
    if "first" not in memory:  # of several processes
        return f"memory at most {peak} MB"
    text = f"memory {memory['first'] / 1e6:.0f} to {memory['last'] / 1e6:.0f} MB (peak {peak})"
    if memory["slope"] is not None:
        text += f", after the first quarter {memory['slope'] / 1e6:+.1f} MB an hour"
    return text


def _cell(spread: Mapping[str, Any], rank: str) -> str:
    return f"{spread[rank] * 1000:9.0f}" if rank in spread else f"{'-':>9}"
