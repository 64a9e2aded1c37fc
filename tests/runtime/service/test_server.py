"""The bundle's own ``serve``, as a process, with OpenAI's client and with hostile ones."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import soundfile
from websockets.sync.client import connect

from asrpack.runtime.audio import read_audio
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.service.page import PAGE_PATHS
from tests.runtime import tiny
from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, answer, own_runtime, running, upload

PATH = "/v1/audio/transcriptions"
LIMITS = ["--max-body", "1", "--max-duration", "20", "--jobs", "4"]


def recorded(seconds: float, rate: int = 16000, kind: str = "WAV", seed: int = 1) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).standard_normal(round(rate * seconds)) * 0.03
    soundfile.write(stream, noise, rate, format=kind)
    return stream.getvalue()


SOUND = recorded(2)
TEXT = (
    Recognizer(tiny.describe(), tiny.graphs(), threads=1).transcribe(read_audio(SOUND, 16000)).text
)


def command(sealed: Sealed, *more: str) -> list[str | Path]:
    keys = ["--identity", sealed.identity, "--trust", sealed.trust]
    return [sys.executable, "-m", "asrpack.runtime", "serve", sealed.path, *keys, *more]


def environment(sealed: Sealed) -> dict[str, str]:
    return own_runtime(sealed.path)


@pytest.fixture(scope="module")
def server(sealed_once: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("service") / "log"
    with running(command(sealed_once, *LIMITS), log, environment(sealed_once)) as found:
        yield found
        assert httpx.get(f"{found.url}/health").json()["status"] == "ok"
        assert found.gauge("asrpack_jobs ") == 0
        assert not [path for path in log.parent.iterdir() if path != log]  # no recordings left
        assert "failed" not in [line["event"] for line in found.lines()]


@pytest.fixture(scope="module")
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)


def post(server: Running, data: bytes = SOUND, **fields: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}{PATH}", files={"file": ("a.wav", data)}, data=fields, timeout=60
    )


def test_json_and_text(client: openai.OpenAI) -> None:
    create = client.audio.transcriptions.create
    assert create(file=("a.wav", SOUND), model="whisper-1").text == TEXT
    text = create(file=("a.wav", SOUND), model="tiny", response_format="text")
    assert text == f"{TEXT}\n"


def test_verbose_json_has_segments_and_words(client: openai.OpenAI) -> None:
    found = client.audio.transcriptions.create(
        file=("a.wav", SOUND),
        model="tiny",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
    )
    assert (found.text, found.language, found.duration) == (TEXT, "en", 2.0)
    assert [item.text for item in found.segments] == [TEXT]
    assert " ".join(item.word for item in found.words).split() == TEXT.split()
    assert all(0 <= item.start <= item.end <= 2 for item in found.words)


def test_a_wav_file_whose_header_was_written_first(server: Running) -> None:
    """As Python's wave leaves it where samples are appended later."""
    header = io.BytesIO()
    with wave.open(header, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"")
        begun = header.getvalue()
    found = post(server, begun + SOUND[44:], response_format="verbose_json").json()
    assert (found["text"], found["duration"]) == (TEXT, 2.0)


@pytest.mark.parametrize(("kind", "begins"), [("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n\n00:00:0")])
def test_subtitles(client: openai.OpenAI, kind: str, begins: str) -> None:
    found = client.audio.transcriptions.create(
        file=("a.wav", SOUND), model="tiny", response_format=kind
    )
    assert str(found).startswith(begins)


def test_a_stream_of_events_ends_with_the_whole_text(client: openai.OpenAI) -> None:
    events = list(
        client.audio.transcriptions.create(file=("a.wav", SOUND), model="tiny", stream=True)
    )
    assert "".join(event.delta for event in events[:-1]) == TEXT
    assert (events[-1].type, events[-1].text) == ("transcript.text.done", TEXT)


def test_a_stream_of_events_has_times_where_they_are_asked_for(client: openai.OpenAI) -> None:
    create, given = client.audio.transcriptions.create, {"file": ("a.wav", SOUND), "model": "tiny"}
    whole = create(
        **given,
        response_format="verbose_json",
        timestamp_granularities=["segment", "word"],
    )
    for asked in (["segment"], ["segment", "word"]):
        events = create(
            **given, response_format="verbose_json", timestamp_granularities=asked, stream=True
        )
        delta, segment, done = events
        assert (delta.delta, segment.id, segment.text) == (TEXT, "0", TEXT)
        assert (segment.start, segment.end) == (whole.segments[0].start, whole.segments[0].end)
        assert (done.text, done.duration) == (TEXT, 2.0)
        if "word" not in asked:
            assert not hasattr(segment, "words")
            continue
        times = [(word["word"], word["start"], word["end"]) for word in segment.words]
        assert times == [(word.word, word.start, word.end) for word in whole.words]
        assert all(0 < word["confidence"] <= 1 for word in segment.words)


def test_a_text_with_times_as_subtitles(server: Running) -> None:
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    streamed = post(server, stream="true", **fields).text
    events = [json.loads(line.removeprefix("data: ")) for line in streamed.splitlines() if line]
    segments = [event for event in events if event["type"] == "transcript.text.segment"]
    text = {"text": TEXT, "duration": 2.0, "segments": segments}
    for kind in ("srt", "vtt"):
        found = httpx.post(f"{server.url}/subtitles?format={kind}", json=text)
        wanted = post(server, response_format=kind)
        assert (found.status_code, found.text) == (200, wanted.text)
        assert found.headers["content-type"] == wanted.headers["content-type"]


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("", b"{}", "ask for ?format=srt or vtt"),
        ("ass", b"{}", "ask for ?format=srt or vtt"),
        ("srt", b"", "send what `asrpack run --format json` writes"),
        ("srt", b"[" * 100_000, "send what `asrpack run --format json` writes"),
        ("vtt", b"{}", "segments is no list"),
    ],
)
def test_what_cannot_be_subtitles(server: Running, kind: str, body: bytes, told: str) -> None:
    found = httpx.post(f"{server.url}/subtitles", params={"format": kind}, content=body)
    assert found.status_code == 400 and told in found.json()["error"]["message"]


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "asrpack"
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.models.retrieve("other")


@pytest.mark.parametrize(("kind", "rate"), [("FLAC", 16000), ("OGG", 44100), ("MP3", 22050)])
def test_other_containers_and_rates(server: Running, kind: str, rate: int) -> None:
    assert post(server, recorded(1, rate, kind)).status_code == 200


REFUSED = {
    "garbage": (np.random.default_rng(7).bytes(5000), {}, 415, "audio-format"),
    "0 bytes": (b"", {}, 400, "audio-empty"),
    "cut short": (SOUND[: len(SOUND) // 2], {}, 400, "audio-truncated"),
    "OGG cut short": (recorded(2, kind="OGG")[:9000], {}, 400, "audio-truncated"),
    "MP3 cut short": (recorded(2, kind="MP3")[:4000], {}, 400, "audio-truncated"),
    "too long": (recorded(20.5, 8000), {}, 413, "audio-too-long"),
    "too large": (bytes(1_100_000), {}, 413, "body-too-large"),
    "another model": (SOUND, {"model": "gpt-4o"}, 404, "model-unknown"),
    "another format": (SOUND, {"response_format": "yaml"}, 400, "field"),
    "no times": (SOUND, {"timestamp_granularities[]": "word"}, 400, "field"),
    "subtitles streamed": (SOUND, {"response_format": "srt", "stream": "true"}, 400, "field"),
    "log-probabilities": (SOUND, {"include[]": "logprobs"}, 400, "field"),
    "cutting": (SOUND, {"chunking_strategy": "[" * 10000}, 400, "field"),
    "threshold": (
        SOUND,
        {"chunking_strategy": '{"type":"server_vad","threshold":2}'},
        400,
        "field",
    ),
    "a long field": (SOUND, {"prompt": "x" * 70000}, 400, "form"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_told_in_openais_shape(server: Running, case: str) -> None:
    data, fields, status, code = REFUSED[case]
    found = post(server, data, **fields)
    error = found.json()["error"]
    assert (found.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert "; " in error["message"]  # the remedy
    assert str(Path.home()) not in error["message"]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        (None, b"", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"garbage", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n", 400),
        ("multipart/form-data; boundary=b", b"--b--\r\n", 400),
        ("multipart/form-data; charset=undefined; boundary=b", upload(0)[1] + upload(0)[2], 400),
    ],
)
def test_bodies_that_are_no_form(
    server: Running, content_type: str | None, body: bytes, status: int
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    found = httpx.post(f"{server.url}{PATH}", content=body, headers=headers)
    assert found.status_code == status
    assert "curl -F" in found.json()["error"]["message"] or "file" in found.text


def test_the_client_of_openai_raises_its_own_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="not audio that can be decoded") as caught:
        client.audio.transcriptions.create(file=("a.wav", b"garbage" * 99), model="tiny")
    assert (caught.value.status_code, caught.value.code) == (415, "audio-format")
    with pytest.raises(openai.APIStatusError, match="decoded"):
        list(
            client.audio.transcriptions.create(
                file=("a.wav", b"garbage" * 99), model="tiny", stream=True
            )
        )


def test_two_gigabytes_are_refused_before_they_are_sent(server: Running) -> None:
    header, start, _ = upload(2 << 30)
    with server.connect() as connection:
        connection.sendall(header + start)
        assert b" 413 " in connection.recv(1000)


def test_a_body_of_unknown_length_is_cut_off(server: Running) -> None:
    def parts() -> Iterator[bytes]:
        yield upload(0)[1]
        for _ in range(300):
            yield bytes(10_000)

    found = httpx.post(
        f"{server.url}{PATH}",
        content=parts(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert (found.status_code, found.json()["error"]["code"]) == (413, "body-too-large")


def test_a_client_that_leaves_amid_its_upload(server: Running) -> None:
    header, start, _ = upload(500_000)
    for length in (0, 100, 300_000):
        with server.connect() as connection:
            connection.sendall(header + start + bytes(length))
    assert len(server.logged(code="client-gone")) >= 1
    assert post(server).status_code == 200


def test_garbage_instead_of_http(server: Running) -> None:
    for data in (os.urandom(3000), b"GET /nothing HTTP/9.9\r\n\r\n", b"\x16\x03\x01" + bytes(300)):
        with server.connect() as connection:
            connection.sendall(data)
            connection.shutdown(1)
            assert answer(connection)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 404", b"")
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX: " + b"a" * (1 << 18))
        assert b" 400 " in answer(connection)[:30]


@pytest.mark.slow
def test_those_who_dawdle_are_cut_off(server: Running) -> None:
    header, start, _ = upload(500_000)
    silent, slow_header, slow_body, second = (server.connect() for _ in range(4))
    slow_body.sendall(header + start)
    second.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert second.recv(1 << 16).startswith(b"HTTP/1.1 200")
    for connection in (slow_header, second):
        connection.sendall(b"GET /health HT")
    began = time.monotonic()
    open_ones = {silent, slow_header, second}
    for connection in open_ones:
        connection.setblocking(False)
    while open_ones and time.monotonic() - began < 40:
        time.sleep(1)
        for connection in (slow_header, slow_body, second):
            try:
                connection.send(b"x")
            except OSError:
                pass
        for connection in list(open_ones):
            try:
                if connection.recv(1000) == b"":
                    open_ones.discard(connection)
            except BlockingIOError:
                pass
            except ConnectionError:
                open_ones.discard(connection)
    assert not open_ones
    assert b" 408 " in slow_body.recv(1000)
    assert len(server.logged(code="header-slow")) >= 3
    assert server.logged(code="upload-slow", status=408)


def test_requests_have_ids_and_lines_without_text(server: Running) -> None:
    found = httpx.post(
        f"{server.url}{PATH}",
        files={"file": ("secret-name.wav", SOUND)},
        headers={"x-request-id": "abc-1"},
    )
    assert found.headers["x-request-id"] == "abc-1"
    (line,) = server.logged(id="abc-1")
    assert (line["event"], line["status"], line["audio_seconds"]) == ("request", 200, 2.0)
    assert TEXT not in json.dumps(line) and "secret" not in json.dumps(line)
    forged = httpx.get(f"{server.url}/v1/models", headers={"x-request-id": 'a"}\x7f{'})
    assert len(forged.headers["x-request-id"]) == 32


def test_monitoring_and_the_interface_document(server: Running) -> None:
    assert httpx.get(f"{server.url}/ready").json() == {"status": "ready"}
    before = server.gauge("asrpack_audio_seconds_total")
    post(server)
    # An answer goes out before it is counted.
    deadline = time.monotonic() + 30
    while server.gauge("asrpack_audio_seconds_total") == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.gauge("asrpack_audio_seconds_total") == before + 2
    assert server.gauge("process_resident_memory_bytes") > 1e7
    for name in ("asrpack_queue_utterances ", "asrpack_batch_size_count", "asrpack_jobs "):
        assert server.gauge(name) >= 0
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            found = httpx.request(method, server.url + path.replace("{model}", "tiny"))
            special = {PATH: 415, "/paddlespeech/asr": 400, "/subtitles": 400, "/": 200}
            otherwise = 404 if "x-websocket" in methods[method] else 200
            assert found.status_code == special.get(path, otherwise)


def test_the_interface_document_has_every_websocket(server: Running) -> None:
    document = httpx.get(f"{server.url}/openapi.json").json()
    described = {
        path for path, item in document["paths"].items() if "x-websocket" in item.get("get", {})
    }
    assert described == {"/", "/paddlespeech/asr/streaming", "/vosk", "/wenet", "/funasr"}
    for path in described:
        connect(server.url.replace("http", "ws") + path).close()


def test_no_other_origin_is_allowed(server: Running) -> None:
    found = httpx.get(f"{server.url}/v1/models", headers={"origin": "http://elsewhere"})
    assert "access-control-allow-origin" not in found.headers
    assert httpx.get(f"{server.url}{PATH}").status_code == 405
    assert httpx.get(f"{server.url}/nothing").json()["error"]["code"] == "not-found"


def test_keys_tls_and_origins(sealed_once: Sealed, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# ours\n\n0123456789abcdef\nfedcba9876543210\n")
    certificate(tmp_path)
    more = [
        *("--api-keys", str(tmp_path / "keys"), "--cors", "https://app.example", "--log-text"),
        *("--tls-certificate", str(tmp_path / "tls.pem"), "--tls-key", str(tmp_path / "tls.key")),
    ]
    with running(command(sealed_once, *more), tmp_path / "log", environment(sealed_once)) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with httpx.Client(base_url=server.url, verify=str(tmp_path / "tls.pem")) as http:
            assert http.get("/health").json()["api_key"]
            assert {http.get(path).status_code for path in PAGE_PATHS} == {200}
            for given in (None, "Bearer", "Bearer 0123456789abcde", "Basic 0123456789abcdef"):
                headers = {"authorization": given} if given else {}
                found = http.get("/v1/models", headers=headers)
                assert (found.status_code, found.json()["error"]["code"]) == (401, "api-key")
            for key in ("0123456789abcdef", "fedcba9876543210"):
                headers = {"authorization": f"Bearer {key}", "origin": "https://app.example"}
                found = http.get("/v1/models", headers=headers)
                assert found.status_code == 200
                assert found.headers["access-control-allow-origin"] == "https://app.example"
            with openai.OpenAI(
                base_url=f"{server.url}/v1", api_key="fedcba9876543210", http_client=http
            ) as client:
                sound = ("a.wav", SOUND)
                assert client.audio.transcriptions.create(file=sound, model="tiny").text == TEXT
        assert server.logged(text=TEXT)
        assert server.stop() == 0
    assert "0123456789abcdef" not in (tmp_path / "log").read_text()


def certificate(folder: Path) -> None:
    """Of 127.0.0.1, signed by itself."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "tls.key", "-out", folder / "tls.pem"),
        ],
        check=True,
        capture_output=True,
    )


def test_sigterm_finishes_what_is_under_way(sealed_once: Sealed, tmp_path: Path) -> None:
    with (
        running(command(sealed_once), tmp_path / "log", environment(sealed_once)) as server,
        server.connect() as connection,
    ):
        length = len(upload(0)[1]) + len(SOUND) + len(upload(0)[2])
        header, start, end = upload(length)
        connection.sendall(header + start + SOUND[:1000])
        time.sleep(0.5)
        server.process.terminate()
        with pytest.raises(httpx.TransportError):
            while True:
                httpx.get(f"{server.url}/health", timeout=5)
                time.sleep(0.05)
        assert server.process.poll() is None
        connection.sendall(SOUND[1000:] + end)
        assert TEXT.encode() in answer(connection)
        assert server.process.wait(60) == 0
    assert server.lines()[-1]["event"] == "stopped"


SETTINGS = {
    "a port in use": (["--port", "{port}"], 4, "listen"),
    "no such method": (["--decode", "magic"], 2, "cannot decode with 'magic'"),
    "no keys": (["--api-keys", "{empty}"], 7, "there is no API key"),
    "a short key": (["--api-keys", "{short}"], 7, "it can be guessed"),
    "half of TLS": (["--tls-key", "{short}"], 2, "come together"),
    "no certificate": (["--tls-key", "{short}", "--tls-certificate", "{short}"], 7, "TLS"),
    "no time": (["--latency", "0"], 2, "latency"),
    "no port": (["--port", "99999"], 2, "99999"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_cannot_be_used(
    case: str, server: Running, sealed_once: Sealed, tmp_path: Path
) -> None:
    given, status, told = SETTINGS[case]
    (tmp_path / "empty").write_text("# none\n")
    (tmp_path / "short").write_text("secret\n")
    names = {"port": server.port, "empty": tmp_path / "empty", "short": tmp_path / "short"}
    arguments = [item.format(**names) for item in given]
    done = subprocess.run(
        command(sealed_once, *(arguments if "--port" in given else ["--port", "0", *arguments])),
        env=os.environ | environment(sealed_once),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert told in done.stderr and "remedy:" in done.stderr and "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_base64_is_not_taken_for_audio(server: Running) -> None:
    assert post(server, base64.b64encode(SOUND)).status_code == 415
