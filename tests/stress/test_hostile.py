"""Services that fail in every way, and command lines that do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asrpack.stress.protocols import NAMES
from tests.runtime.service.running import Running
from tests.stress.conftest import Stress
from tests.stress.scripted import (
    after,
    hangs_up,
    http_service,
    listens,
    says,
    sends,
    socket_service,
    text,
    vosk_answers,
)
from tests.stress.test_stress import add_up

ONE = ["--concurrency", 1, "--warm-up", 0, "--timeout", 2, "--duration", 6]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who failed tries again at once."""
    monkeypatch.setattr("asrpack.stress.load._PAUSE", 0.01)


def test_every_failure_of_http_is_counted_by_its_kind(stress: Stress) -> None:
    answers = [
        text("a"),  # tried before the load
        text("a"),
        text("b"),
        says(500, b"\xff" * 9999),
        says(200, b"garbage"),
        says(200, b'{"text": ["a"]}'),
        says(429, b"", retry_after="0"),
        hangs_up,
        after(4.0, text("a")),
        text(" a\n"),
    ]
    with http_service(*answers) as url:
        found = stress(url, *ONE)
    add_up(found.figures)
    counts = {kind: item["count"] for kind, item in found.figures["failed"].items()}
    assert counts == {"status 500": 1, "protocol": 2, "connection": 1, "timeout": 1}
    assert found.figures["refused"] == {"429": 1} and found.figures["requests"]["ok"] > 2
    # Recordings come in turn: b is the first text of the second, and the a that follows differs.
    assert found.figures["requests"]["wrong"] >= 1 and found.code == 5
    assert found.figures["server"] is None


def test_every_failure_of_a_websocket_is_counted_by_its_kind(stress: Stress) -> None:
    answers = [
        vosk_answers("a"),
        vosk_answers("a"),
        vosk_answers("a"),
        sends("garbage"),
        sends(b"\xff\xfe"),
        sends("[]"),
        sends('{"text" : 7}'),
        sends(then=lambda connection: connection.close(1013)),
        sends(then=lambda connection: connection.close(1011, "broken")),
        sends(then=lambda connection: connection.socket.close()),
        sends(*['{"text" : "early"}'] * 99),
        listens,
        vosk_answers("a"),
    ]
    with socket_service(*answers) as url:
        found = stress(url, *ONE, "--duration=9", "--protocol=vosk", "--pace=0.1")
    add_up(found.figures)
    counts = {kind: item["count"] for kind, item in found.figures["failed"].items()}
    assert counts == {"protocol": 5, "closed 1011": 1, "connection": 1, "timeout": 1}
    assert found.figures["failed"]["closed 1011"]["example"] == "broken"
    assert found.figures["refused"] == {"1013": 1} and found.figures["requests"]["ok"] > 2


def test_latency_is_measured_from_when_a_request_was_due(stress: Stress) -> None:
    """Each takes 0.3 s, and more are due than the clients send in that time: they fall behind."""
    with http_service(after(0.3, text("a"))) as url:
        behind = stress(url, "--rate=30", "--concurrency=2", "--warm-up=0", "--duration=2")
        waiting = stress(url, "--concurrency=2", "--warm-up=0", "--duration=2")
        never = stress(url, "--rate=60", "--concurrency=1", "--warm-up=0", "--timeout=2")
    add_up(behind.figures)
    assert behind.figures["latency"]["max"] > 2 * 0.9 > waiting.figures["latency"]["p50"]
    assert waiting.figures["latency"]["p50"] >= 0.3
    assert behind.code == 0 and behind.figures["requests"]["unsent"] == 0
    assert never.code == 5 and never.figures["requests"]["unsent"] > 5


@pytest.mark.parametrize("rate", [0.001, 3])
def test_a_rate_is_of_all_of_the_time(stress: Stress, rate: float) -> None:
    """Not of that until the last arrival, of which there may be none."""
    with http_service(text("a")) as url:
        figures = stress(url, "--rate", rate, "--duration=2").figures
    add_up(figures)
    assert figures["seconds"] == pytest.approx(2.0)
    assert not figures["interrupted"]


@pytest.mark.parametrize(
    ("make", "protocol", "code"),
    [
        (lambda: http_service(says(200, b"<html>")), "openai", 2),
        (lambda: http_service(says(404, b"no")), "openai", 2),
        (lambda: http_service(says(302, b"", location="http://127.0.0.1:1/")), "openai", 2),
        (lambda: http_service(says(415, b"no audio")), "paddlespeech", 3),
        (lambda: http_service(says(401, b"who")), "openai", 7),
        (lambda: http_service(says(503, b"later")), "openai", 4),
        (lambda: http_service(hangs_up), "openai", 4),
        (lambda: http_service(after(10, text("a"))), "openai", 4),
        (lambda: http_service(says(200, bytes(1 << 25))), "openai", 2),
        (lambda: http_service(text("a")), "vosk", 2),
        (lambda: socket_service(sends("{}")), "wenet", 2),
        (lambda: socket_service(listens), "paddlespeech-stream", 4),
        (lambda: socket_service(vosk_answers("a")), "funasr", 2),
    ],
)
def test_a_service_that_is_none_is_told_before_the_load(
    stress: Stress, make: Callable, protocol: str, code: int
) -> None:
    with make() as url:
        found = stress(url, "--protocol", protocol, "--timeout=5", "--pace=0")
    assert found.code == code, found.figures
    (finding,) = found.figures["findings"]
    assert finding["path"] and finding["remedy"]


def test_another_protocol(stress: Stress, whole_server: Running) -> None:
    for path, protocol in (
        ("/vosk", "wenet"),
        ("/paddlespeech/asr/streaming", "vosk"),  # the model does not stream
        ("/none", "funasr"),
        ("/health", "openai"),
        ("/paddlespeech/asr", "openai"),
    ):
        found = stress(whole_server.url + path, "--protocol", protocol, "--timeout=2", "--pace=0")
        assert found.code in (2, 3, 7), (path, found.figures)


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port that nobody listens at, and nobody else can take."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.mark.parametrize(
    ("service", "words", "code", "cause"),
    [
        ("http://127.0.0.1:{port}", [], 4, "connect"),
        ("ws://127.0.0.1:{port}", ["--protocol=vosk"], 4, "connect"),
        ("http://no-such-host.invalid", [], 4, "connect"),
        ("http://", [], 2, "not the address"),
        ("http://user:secret@127.0.0.1", [], 2, "not the address"),
        ("http://127.0.0.1:99999", [], 2, "not the address"),
        ("ftp://127.0.0.1", [], 2, "not the address"),
        ("ws://127.0.0.1:1", [], 2, "not of WebSockets"),
        ("http://127.0.0.1:1", ["--ca=/none.pem"], 2, "without TLS"),
        ("https://127.0.0.1:1", ["--ca=/none.pem"], 3, "certificates"),
        ("https://127.0.0.1:1", ["--ca={audio}/a.wav"], 3, "certificates"),
        ("http://127.0.0.1:1", ["--api-key=env:NO_SUCH"], 7, "NO_SUCH"),
        ("http://127.0.0.1:1", ["--identity=x"], 2, "a bundle's"),
        ("{audio}", ["--api-key=x"], 2, "a service's"),
        ("127.0.0.1:8080", [], 2, "neither"),
        ("{audio}", ["--identity=/none.key"], 7, "cannot read the key file"),
        ("http://127.0.0.1:1", ["--protocol=magic"], 2, "no such protocol"),
        ("http://127.0.0.1:1", ["--audio=/none.wav"], 3, "No such file"),
        ("http://127.0.0.1:1", ["--manifest=/none.jsonl"], 3, "manifest"),
    ],
)
def test_what_cannot_be_asked(
    stress: Stress,
    audio: Path,
    refusing: int,
    service: str,
    words: list[str],
    code: int,
    cause: str,
) -> None:
    line = [word.format(audio=audio) for word in words]
    found = stress(service.format(port=refusing, audio=audio), *line)
    assert found.code == code, found.figures
    finding = found.figures["findings"][0]
    assert cause in finding["message"] + str(finding["path"]) and "secret" not in found.errors
    assert finding["remedy"]


def test_audio_must_be_given(stress: Stress) -> None:
    found = stress("http://127.0.0.1:1", sounds=False)
    assert found.code == 2 and "--audio" in found.figures["findings"][0]["remedy"]


@pytest.mark.parametrize("place", ["none/r.html", "file/r.html", "folder"])
def test_a_report_that_cannot_be_written_is_told_before_the_load(
    stress: Stress, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    found = stress("http://127.0.0.1:1", "--report", tmp_path / place)  # where nobody answers
    assert found.code == 3
    assert found.figures["findings"][0]["code"] == "report-unwritable"


def test_the_help_names_every_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    from asrpack.cli import main

    assert main(["stress", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in NAMES)
