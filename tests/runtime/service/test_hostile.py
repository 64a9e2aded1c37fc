"""What hostile clients do to a service: it stays up, keeps its memory, and logs what it refused."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import websockets

from asrpack.runtime.audio import read_audio
from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, answer, running, upload
from tests.runtime.service.test_server import SOUND, TEXT, command, environment, post

# What allocators keep from one request to the next.
SLACK = 40_000_000


@pytest.fixture(scope="module")
def server(sealed_once: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("service") / "log"
    with running(command(sealed_once), log, environment(sealed_once)) as found:
        for _ in range(3):
            assert post(found).status_code == 200
        yield found
        assert found.stop() == 0
        assert "failed" not in [line["event"] for line in found.lines()]


@pytest.fixture(autouse=True)
def unharmed(server: Running) -> Iterator[None]:
    """Around every test: all is as it was, and the next client is served."""
    before = server.gauge("process_resident_memory_bytes")
    yield
    assert post(server).json()["text"] == TEXT
    assert server.gauge("process_resident_memory_bytes") < before + SLACK
    assert server.gauge("asrpack_jobs ") == 0


def new_line(server: Running, seen: int, **fields: object) -> dict[str, Any]:
    """The one of the log after its first ``seen`` with these fields; waited for."""
    deadline = time.monotonic() + 60
    while not (found := [line for line in server.lines()[seen:] if fields.items() <= line.items()]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (line,) = found
    return line


def test_killed_amid_an_upload(server: Running) -> None:
    header, start, _ = upload(50_000_000)
    with server.connect() as connection:
        connection.sendall(header + start + bytes(3_000_000))
        # As the kernel does for a process that is killed with data unread.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (line,) = server.logged(code="client-gone", status=499)
    assert line["path"] == "/v1/audio/transcriptions"


def test_two_gigabytes_that_come_all_the_same(server: Running) -> None:
    header, start, _ = upload(2 << 30)
    sent, block = 0, bytes(1 << 20)
    with server.connect() as connection:
        connection.sendall(header + start)
        try:
            while sent < 2 << 30:
                connection.sendall(block)
                sent += len(block)
        except OSError:
            pass
    assert sent < 200 << 20
    assert server.logged(code="body-too-large", status=413)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/paddlespeech/asr"])
def test_no_bytes_at_all(server: Running, path: str) -> None:
    assert httpx.post(server.url + path).status_code in (400, 415)


def opened(server: Running, extension: str = "") -> socket.socket:
    """A WebSocket, to be talked on by hand."""
    connection = server.connect()
    connection.sendall(
        f"GET /vosk HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{extension}"
        "\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


def frame(first: int, payload: bytes, length: int | None = None) -> bytes:
    """Masked with zeros; ``length``: another one than it has."""
    size = len(payload) if length is None else length
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    else:
        head = struct.pack("!BBQ", first, 0xFF, size)
    return head + bytes(4) + payload


def bomb() -> bytes:
    """A message of 128 MB, in 128 KB."""
    squeezed = zlib.compressobj(9, wbits=-12)
    parts = [squeezed.compress(bytes(1 << 20)) for _ in range(1 << 7)]
    return b"".join([*parts, squeezed.flush(zlib.Z_SYNC_FLUSH)])[:-4]


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12\r\n"
FRAMES = {
    "garbage": (b"\xff" * 5000, 1002),
    "a reserved operation": (frame(0x83, b"x"), 1002),
    "no mask": (b"\x82\x01x", 1002),
    "a ping in parts": (frame(0x09, b"x"), 1002),
    "a continuation of nothing": (frame(0x80, b"x"), 1002),
    "four exabytes": (frame(0x82, b"x", 1 << 62), 1009),
    "a message without an end": (frame(0x02, bytes(700_000)) + frame(0, bytes(700_000)), 1009),
    "no UTF-8": (frame(0x81, b"\xff\xfe"), 1007),
}


@pytest.mark.parametrize("case", FRAMES)
def test_frames_that_are_none(server: Running, case: str) -> None:
    data, close = FRAMES[case]
    seen = len(server.lines())
    with opened(server) as connection:
        connection.sendall(data)
        assert struct.pack("!H", close) in answer(connection)
    line = new_line(server, seen, code="client-gone", close=close)
    assert (line["path"], line["status"]) == ("/vosk", 101)


def test_a_message_that_inflates_without_end(server: Running) -> None:
    with opened(server, DEFLATE) as connection:
        connection.sendall(frame(0xC2, bomb()))
        assert struct.pack("!H", 1009) in answer(connection)
    assert server.logged(code="client-gone", close=1009)


def test_phrases_without_end(server: Running) -> None:
    letters = "ab" * 500_000
    config = json.dumps({"config": {"phrase_list": [letters]}})
    speaking = json.dumps({"is_speaking": True, "mode": "offline", "hotwords": letters})
    before = server.gauge("process_resident_memory_bytes")

    async def send(path: str, message: str) -> None:
        url = server.url.replace("http", "ws") + path
        async with websockets.connect(url) as socket:
            await socket.send(message)
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await socket.send(bytes(6400))
                while True:
                    await socket.recv()
            assert caught.value.rcvd.code == 1008
            assert server.gauge("process_resident_memory_bytes") < before + SLACK

    for path, message in (("/vosk", config), ("/funasr", speaking)):
        asyncio.run(send(path, message))


def test_noise_before_and_after_the_handshake(server: Running) -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        noise = rng.bytes(2000)
        with server.connect() as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            answer(connection)
        with opened(server) as connection:
            connection.sendall(noise)
            connection.shutdown(socket.SHUT_WR)
            answer(connection)
    assert server.logged(event="Invalid HTTP request received.")


def test_pings_whose_answers_are_not_read(server: Running) -> None:
    sent, block = 0, frame(0x89, bytes(125)) * 1000
    with opened(server) as connection:
        try:
            while sent < 300_000_000:
                connection.sendall(block)
                sent += len(block)
        except OSError:
            pass
    assert sent < 100_000_000
    assert server.logged(code="client-stalled", path="/vosk")


@pytest.mark.parametrize("way", ["closed", "vanished"])
def test_a_recording_whose_client_left_is_not_recognised(
    server: Running, way: str, quickstart: Path
) -> None:
    said = read_audio(quickstart / "data/human/002.wav", 16000).astype("<i2")
    whole = np.tile(np.pad(said, (0, 16000)), 1000).tobytes()
    seconds = len(whole) / 32000
    seen, before = len(server.lines()), server.gauge("asrpack_audio_seconds_total")

    async def leave() -> None:
        url = server.url.replace("http", "ws") + "/vosk"
        async with websockets.connect(url) as socket:
            for at in range(0, len(whole), 1 << 19):
                await socket.send(whole[at : at + (1 << 19)])
                await socket.recv()
            await socket.send('{"eof" : 1}')
            # It has begun to recognise, or the test would not say much.
            while server.gauge("asrpack_audio_seconds_total") == before:
                await asyncio.sleep(0.01)
            if way == "vanished":
                socket.transport.abort()

    asyncio.run(leave())
    line = new_line(server, seen, code="client-gone", path="/vosk")
    assert line["status"] == 101
    assert server.gauge("asrpack_jobs ") == 0
    assert server.gauge("asrpack_audio_seconds_total") - before < seconds / 2


def test_what_a_client_sends_while_it_waits_is_not_lost(server: Running) -> None:
    """FunASR's clients may send the next recording before they have the last one's text."""

    async def two() -> list[Any]:
        start = json.dumps({"mode": "offline", "is_speaking": True, "wav_format": "wav"})
        async with websockets.connect(server.url.replace("http", "ws") + "/funasr") as socket:
            for _ in range(2):
                await socket.send(start)
                await socket.send(SOUND)
                await socket.send('{"is_speaking": false}')
            return [json.loads(await socket.recv()) for _ in range(2)]

    assert [item["text"] for item in asyncio.run(two())] == [TEXT, TEXT]


def test_a_connection_serves_one_request_after_the_other(server: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    first = connection.sock
    for _ in range(3):
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        assert connection.sock is first
    connection.close()


@pytest.mark.slow
def test_a_stream_that_is_heard_need_not_answer_pings(server: Running) -> None:
    """The answer may be there, behind audio that a busy server has not taken yet."""
    second = frame(0x82, bytes(32000))
    with opened(server) as connection:
        for _ in range(45):
            connection.sendall(second)
            time.sleep(1)
        connection.sendall(frame(0x81, b'{"eof" : 1}'))
        assert b'"text"' in answer(connection)


@pytest.mark.slow
def test_answers_that_nobody_reads(server: Running) -> None:
    """What is left of an answer, and its connection, does not stay for as long as the client."""
    files = server.gauge("process_open_fds")
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    deaf = []
    for _ in range(5):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", server.port))
        connection.settimeout(5)
        try:
            connection.sendall(request * 3000)
        except TimeoutError:
            pass
        deaf.append(connection)
    deadline = time.monotonic() + 120
    while server.gauge("process_open_fds") > files + 2:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert len(server.logged(code="client-stalled", path="/openapi.json")) == len(deaf)
    for connection in deaf:
        connection.close()


def test_nothing_is_left_on_disk(server: Running) -> None:
    folder = Path(f"/proc/{server.process.pid}/fd/2").readlink().parent
    assert [path.name for path in folder.iterdir()] == ["log"]


def test_who_leaves_with_the_last_answer_is_not_gone_too_early(server: Running) -> None:
    seen = len(server.lines())

    async def talk() -> None:
        url = server.url.replace("http", "ws") + "/vosk"
        socket = await websockets.connect(url)
        await socket.send(SOUND)
        await socket.recv()
        await socket.send('{"eof" : 1}')
        assert "text" in json.loads(await socket.recv())
        socket.transport.abort()

    async def many() -> None:
        for _ in range(10):
            await asyncio.gather(*(talk() for _ in range(20)))

    asyncio.run(many())

    def answered() -> list[dict[str, Any]]:
        return [line for line in server.lines()[seen:] if line.get("path") == "/vosk"]

    deadline = time.monotonic() + 60
    while len(answered()) < 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert {line.get("code") for line in answered()} == {None}
