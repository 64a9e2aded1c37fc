"""``asrpack stress`` against real services of the tiny models: figures add up."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, running
from tests.runtime.service.test_server import certificate, command, environment
from tests.stress.conftest import FAST, Stress

STREAMS = ["paddlespeech-stream", "wenet", "funasr", "vosk"]


def add_up(found: dict[str, Any]) -> None:
    """Every request is somewhere, once."""
    requests, series = found["requests"], found["series"]
    assert requests["sent"] == sum(
        requests[name] for name in ("ok", "refused", "failed", "wrong", "unfinished")
    )
    assert sum(found["refused"].values()) == requests["refused"]
    assert sum(item["count"] for item in found["failed"].values()) == requests["failed"]
    assert found["latency"]["count"] == requests["ok"]
    ended = sum(sum(point[1:5]) for point in series["points"])
    assert ended == requests["sent"] - requests["unfinished"] + found["warm_up"]["requests"]
    if requests["ok"]:
        rate = requests["ok"] / found["seconds"]
        assert found["throughput"]["requests_per_second"] == pytest.approx(rate)
        latency = found["latency"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p95"] <= latency["p99"]
        assert latency["p99"] <= latency["max"]


@pytest.mark.parametrize("protocol", ["openai", "paddlespeech"])
def test_http(stress: Stress, whole_server: Running, protocol: str) -> None:
    found = stress(whole_server.url, "--protocol", protocol, "--duration=4")
    figures = found.figures
    add_up(figures)
    assert (found.code, figures["ok"]) == (0, True)
    assert figures["requests"]["ok"] > 3 and figures["warm_up"]["not_ok"] == 0
    assert figures["service"]["url"].startswith(whole_server.url)
    # Both recordings in turn.
    mean = figures["throughput"]["audio_seconds"] / figures["requests"]["ok"]
    assert mean == pytest.approx(0.875, abs=0.1)
    assert figures["server"]["memory"]["peak"] > 10e6 and figures["server"]["cpu"] > 0
    assert figures["client"]["cpu"] > 0 and not figures["client"]["busy"]
    assert "final_text" not in figures


@pytest.mark.parametrize("protocol", STREAMS)
def test_streams(stress: Stress, streaming_server: Running, protocol: str) -> None:
    found = stress(streaming_server.url, "--protocol", protocol, "--duration=3")
    figures = found.figures
    add_up(figures)
    assert found.code == 0 and figures["requests"]["ok"] >= 2, figures
    assert figures["load"]["pace"] == 1
    for name in ("first_text", "final_text"):
        assert figures[name]["count"] == figures["requests"]["ok"]
        assert 0 < figures[name]["p50"] <= figures[name]["max"] <= figures["latency"]["max"]
    assert figures["latency"]["max"] >= 0.5  # of audio, before the last packet
    assert figures["final_text"]["max"] < figures["latency"]["max"]


def test_the_page_holds_every_point(
    stress: Stress, streaming_server: Running, tmp_path: Path
) -> None:
    page = tmp_path / "load.html"
    found = stress(
        streaming_server.url, "--protocol=vosk", "--pace=0", "--duration=2", "--report", page
    )
    html = page.read_text()
    assert not re.search(r"(src|href)=|@import|url\(", html)
    plots = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    drawn = {
        (plot.get("aria-label"), path.findtext("title")): len(re.findall("[ML]", path.get("d", "")))
        for plot in plots
        for path in plot.iter("path")
        if path.find("title") is not None
    }
    points, server = found.figures["series"]["points"], found.figures["server"]["series"]["points"]
    answered = sum(point[1] > 0 for point in points)
    assert answered > 1 and len(server) > 1
    for name in ("p50", "p95", "max"):
        assert drawn["Latency, last audio sent to final text", name] == answered
    for name in ("ok", "refused", "failed or wrong"):
        assert drawn["Requests that ended", name] == len(points)
    assert drawn["Memory of the service", "resident"] == len(server)
    assert drawn["Under way in the service", "jobs"] == len(server)


def test_all_audio_at_once(stress: Stress, streaming_server: Running) -> None:
    found = stress(streaming_server.url, "--protocol=vosk", "--pace=0", "--concurrency=1")
    add_up(found.figures)
    assert found.code == 0 and found.figures["requests"]["ok"] > 2


def test_a_full_service_refuses_and_has_not_failed(
    stress: Stress, streaming_server: Running, whole_server: Running
) -> None:
    """Both take three requests at a time."""
    for url, protocol, code in (
        (whole_server.url, "openai", "429"),
        (streaming_server.url, "paddlespeech-stream", "1013"),
        (streaming_server.url, "wenet", "1013"),
        (streaming_server.url, "funasr", "1013"),
    ):
        found = stress(url, "--protocol", protocol, "--concurrency", 24, "--duration=3")
        add_up(found.figures)
        assert found.code == 0, found.figures
        assert set(found.figures["refused"]) == {code} and found.figures["requests"]["ok"]


def test_texts_are_held_against_those_expected(
    stress: Stress, whole_server: Running, audio: Path, sealed_once: Sealed, tmp_path: Path
) -> None:
    """A manifest is what ``run --json`` prints, that of silence too, whose text is empty."""
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000, np.int16), 16000)
    recordings = [audio, tmp_path / "silence.wav"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "asrpack", "run", sealed_once.path, *recordings),
            *("--json", "--identity", sealed_once.identity, "--trust", sealed_once.trust),
        ],
        capture_output=True,
        check=True,
        text=True,
    )
    manifest = tmp_path / "expected.jsonl"
    manifest.write_text(done.stdout)
    right = stress(whole_server.url, "--manifest", manifest, sounds=False)
    assert right.code == 0 and right.figures["load"]["expected_texts"] == 3
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [bool(line["text"]) for line in lines] == [True, True, False]
    lines[1]["text"] += " and more"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    wrong = stress(whole_server.url, "--manifest", manifest, sounds=False)
    add_up(wrong.figures)
    requests = wrong.figures["requests"]
    assert wrong.code == 5 and not wrong.figures["ok"]
    # In turn: one of three is wrong.
    assert requests["failed"] == 0 and abs(2 * requests["wrong"] - requests["ok"]) <= 3
    assert wrong.figures["wrong"][0]["expected"] == lines[1]["text"]


def test_a_bundle_is_served_meanwhile(stress: Stress, sealed_once: Sealed) -> None:
    keys = ["--identity", sealed_once.identity, "--trust", sealed_once.trust]
    found = stress(sealed_once.path, *keys)
    assert found.code == 0 and found.figures["requests"]["ok"] > 3, found.figures
    refused = stress(sealed_once.path, "--identity", "/none.key")
    assert refused.code == 7
    assert "cannot read the key file" in refused.figures["findings"][0]["message"]


def test_keys_and_tls(stress: Stress, streaming_sealed: Sealed, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# ours\n0123456789abcdef\n")
    (tmp_path / "wrong").write_text("fedcba9876543210\n")
    certificate(tmp_path)
    more = [
        *("--api-keys", str(tmp_path / "keys"), "--tls-key", str(tmp_path / "tls.key")),
        *("--tls-certificate", str(tmp_path / "tls.pem")),
    ]
    given = command(streaming_sealed, *more)
    key, ca = ["--api-key", tmp_path / "keys"], ["--ca", tmp_path / "tls.pem"]
    with running(given, tmp_path / "log", environment(streaming_sealed)) as server:
        for protocol in ("openai", "funasr"):
            words = ["--protocol", protocol]
            found = stress(server.url, *words, *key, *ca)
            assert found.code == 0 and found.figures["requests"]["ok"], found
            assert found.figures["server"] is not None
            for denied in (ca, [*ca, "--api-key", tmp_path / "wrong"]):
                found = stress(server.url, *words, *denied)
                assert found.code == 7
                assert "--api-key" in found.figures["findings"][0]["remedy"]
            found = stress(server.url, *words, *key)
            assert found.code == 4 and "--ca FILE" in found.figures["findings"][0]["remedy"]
        # TLS that nobody expects.
        found = stress(server.url.replace("https", "http"), *key)
        assert found.code == 4 and "http or https" in found.figures["findings"][0]["remedy"]
    assert "0123456789abcdef" not in (tmp_path / "log").read_text()


def start(url: str, audio: Path, *words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "asrpack", "stress", url, "--audio", audio, *FAST, *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answered(server: Running) -> float:
    """How many requests, so far."""
    return server.total('asrpack_requests_total{route="/v1/audio/transcriptions"')


def loaded(server: Running, count: float) -> None:
    """Waits for so many requests."""
    deadline = time.monotonic() + 60
    while answered(server) < count:
        assert time.monotonic() < deadline, "no load came"
        time.sleep(0.05)


def test_a_service_that_dies(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    with running(command(sealed_once), tmp_path / "log", environment(sealed_once)) as server:
        load = start(server.url, audio, "--duration=5", "--json")
        loaded(server, 20)
        time.sleep(0.5)
        server.process.kill()
        out, err = load.communicate(timeout=60)
    found = json.loads(out)
    add_up(found)
    assert load.returncode == 5 and not found["ok"] and "Traceback" not in err
    assert found["requests"]["ok"] and found["failed"]["connect"]["count"]
    assert set(found["failed"]) <= {"connect", "connection"}


def watched(server: Running, count: int) -> None:
    """Waits until the load has looked at its metrics so many times, and not we."""
    deadline, own = time.monotonic() + 60, 0
    while server.total('asrpack_requests_total{route="/metrics"') - own < count:
        assert time.monotonic() < deadline, "nobody looks"
        own += 1
        time.sleep(0.1)


@pytest.mark.slow
def test_a_service_that_starts_anew(sealed_once: Sealed, audio: Path, tmp_path: Path) -> None:
    """Two processes: neither CPU time nor memory goes on from the first to the second."""
    given, variables = command(sealed_once), environment(sealed_once)
    with running(given, tmp_path / "log", variables) as server:
        load = start(server.url, audio, "--duration=600", "--warm-up=0")
        watched(server, 3)
        server.process.kill()
        server.process.wait()
        with running(given, tmp_path / "again", variables, port=server.port) as again:
            watched(again, 3)
            load.send_signal(signal.SIGINT)
            out, err = load.communicate(timeout=60)
    assert load.returncode == 130 and "Traceback" not in err
    (told,) = (line for line in out.splitlines() if line.startswith("server: "))
    assert told.startswith("server: 2 processes answered (it restarted, or has several); memory at")
    assert "cores" not in told and " to " not in told


def test_ctrl_c_prints_what_was_measured(
    whole_server: Running, audio: Path, tmp_path: Path
) -> None:
    before = answered(whole_server)
    load = start(whole_server.url, audio, "--duration=600", "--report", str(tmp_path / "r.html"))
    loaded(whole_server, before + 20)
    time.sleep(1.5)
    load.send_signal(signal.SIGINT)
    out, err = load.communicate(timeout=60)
    assert load.returncode == 130 and "Traceback" not in err
    assert "until it was stopped" in out and "requests/s" in out
    assert "until it was stopped" in (tmp_path / "r.html").read_text()
