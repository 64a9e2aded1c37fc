"""Bodies that have not all come: what they hold is bounded, and they hold no place."""

from __future__ import annotations

import asyncio
import base64
import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.runtime.conftest import Sealed
from tests.runtime.service.protocol_clients import closed
from tests.runtime.service.running import Running, answer, running, upload
from tests.runtime.service.test_server import SOUND, TEXT, command, environment, post

MEGABYTE = 1 << 20
JSON = {"audio": base64.b64encode(SOUND).decode()}
PATHS = {
    "/v1/audio/transcriptions": ("multipart/form-data; boundary=b", upload(0)[1]),
    "/paddlespeech/asr": ("application/json", b'{"audio": "'),
    "/subtitles?format=srt": ("application/json", b'{"text": "'),
}


@pytest.fixture(scope="module")
def server(sealed_once: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("service") / "log"
    # Together uploads may hold 50 MB.
    limits = ["--jobs", "2", "--max-body", "25"]
    with running(command(sealed_once, *limits), log, environment(sealed_once)) as found:
        yield found


def begin(server: Running, path: str, count: int) -> socket.socket:
    """Sends so many megabytes of more."""
    kind, start = PATHS[path]
    connection = server.connect()
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {count * MEGABYTE + 1000}\r\n\r\n".encode()
        + start
        + b"A" * (count * MEGABYTE)
    )
    return connection


@contextmanager
def going_on(connections: Sequence[socket.socket]) -> Iterator[None]:
    """A byte of each now and then."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(1):
            for connection in connections:
                connection.sendall(b"A")

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        done.set()
        sending.join()


@pytest.mark.parametrize("path", PATHS)
def test_they_hold_no_more_than_jobs_may(server: Running, path: str) -> None:
    before = server.gauge("process_resident_memory_bytes")
    with ExitStack() as stack:
        # More than there may be jobs: who sends slowly holds up nobody.
        slow = [stack.enter_context(begin(server, path, 15)) for _ in range(3)]
        stack.enter_context(going_on(slow))
        assert server.gauge("asrpack_jobs ") == 0
        assert post(server).json()["text"] == TEXT
        found = httpx.post(f"{server.url}/paddlespeech/asr", json=JSON)
        assert found.json()["result"]["transcription"] == TEXT
        one_more = answer(stack.enter_context(begin(server, path, 15)))
        assert one_more.startswith(b"HTTP/1.1 429") and b"retry-after: " in one_more
        assert b"try again in " in one_more
        # Of what they sent there is little in memory.
        assert server.gauge("process_resident_memory_bytes") < before + 30 * MEGABYTE
        # Nobody was refused for others.
        assert not select.select(slow, [], [], 0)[0]
    assert server.logged(code="client-gone", status=499)
    deadline = time.monotonic() + 60
    while post(server, SOUND + bytes(20 * MEGABYTE)).status_code == 429:
        assert time.monotonic() < deadline


def test_the_recording_takes_the_place_of_the_json_that_it_was_in(server: Running) -> None:
    """On disk, where it is large."""
    body = json.dumps({"audio": base64.b64encode(SOUND + bytes(10 * MEGABYTE)).decode()})
    found = httpx.post(f"{server.url}/paddlespeech/asr", content=body, timeout=60)
    assert found.json()["result"]["transcription"] == TEXT


@pytest.fixture(scope="module")
def cramped(sealed_once: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """No file of it may have more than some bytes over a megabyte, as where a disk is full."""
    log = tmp_path_factory.mktemp("cramped") / "log"
    limited = ["prlimit", f"--fsize={MEGABYTE + 5000}", *command(sealed_once)]
    with running(limited, log, environment(sealed_once)) as found:
        yield found
        assert not [line for line in found.lines() if line["event"] == "failed"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("more", [6000, MEGABYTE])
def test_a_disk_without_room_is_told(cramped: Running, path: str, more: int) -> None:
    kind, start = PATHS[path]
    body = start + b"A" * (MEGABYTE + more)
    found = httpx.post(cramped.url + path, content=body, headers={"content-type": kind}, timeout=60)
    assert found.status_code == 507 and "TMPDIR must name a folder" in found.text


def test_it_is_told_of_what_is_spoken_too(cramped: Running) -> None:
    packets = [bytes(3200)] * (MEGABYTE // 3200 + 10)
    _, close = asyncio.run(closed(cramped.url.replace("http", "ws") + "/vosk", packets))
    assert close.code == 1008 and "TMPDIR must name a folder" in close.reason
    assert cramped.logged(event="request", code="no-space", path="/vosk")
