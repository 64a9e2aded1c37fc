"""Recordings in which nobody speaks: small files of hours, which hold up nobody."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from asrpack.runtime.audio import read_audio
from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, answer, running, upload
from tests.runtime.service.test_server import PATH, SOUND, command, environment, post

pytestmark = pytest.mark.slow
MINUTES = 60


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("audio") / "silence.flac"
    with soundfile.SoundFile(path, "w", 16000, 1, "PCM_16") as out:
        for _ in range(MINUTES):
            out.write(np.zeros(60 * 16000, np.int16))
    return path.read_bytes()


@pytest.fixture
def server(streaming_sealed: Sealed, tmp_path: Path) -> Iterator[Running]:
    limits = ["--threads", "1", "--drain", "1"]
    with running(
        command(streaming_sealed, *limits), tmp_path / "log", environment(streaming_sealed)
    ) as found:
        yield found


def send(server: Running, data: bytes) -> socket.socket:
    """Sends a form, whose answer may be read from the connection."""
    _, start, end = upload(0)
    body = start + data + end
    connection = server.connect()
    connection.sendall(upload(len(body))[0] + body)
    return connection


def test_it_holds_up_no_stream_and_no_other_recording(server: Running, silence: bytes) -> None:
    answered: list[str] = []

    def read(connection: socket.socket) -> None:
        with connection:
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        answered.append("silence")

    with connect(server.url.replace("http", "ws") + "/vosk") as stream:
        stream.send(bytes(6400))
        stream.recv(timeout=60)
        connections = [send(server, silence) for _ in range(3)]
        for connection in connections:
            connection.settimeout(600)
        readers = [threading.Thread(target=read, args=[item]) for item in connections]
        for reader in readers:
            reader.start()
        while server.gauge("asrpack_jobs ") < 4:
            pass
        stream.send(bytes(6400))
        assert "partial" in json.loads(stream.recv(timeout=600))
        answered.append("stream")
    assert post(server, SOUND).status_code == 200
    answered.append("recording")
    for reader in readers:
        reader.join()
    assert answered == ["stream", "recording", *["silence"] * 3]


def test_a_client_that_leaves_takes_its_silence_along(server: Running, silence: bytes) -> None:
    def spent() -> float:
        return server.gauge("process_cpu_seconds_total")

    before = spent()
    with send(server, silence) as connection:
        connection.settimeout(600)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    whole, before = spent() - before, spent()
    with send(server, silence):
        while not server.gauge("asrpack_jobs "):
            pass
    assert server.logged(code="client-gone", status=499)
    assert post(server, SOUND).status_code == 200  # the worker is free
    assert server.gauge("asrpack_jobs ") == 0
    assert spent() - before < whole / 2


def test_a_client_that_leaves_amid_its_answer(
    server: Running, quickstart: Path, tmp_path: Path
) -> None:
    said = read_audio(quickstart / "data/human/002.wav", 16000) / 32768
    path = tmp_path / "said.flac"  # its silence is still read when the first segment is there
    soundfile.write(path, np.pad(said, (0, MINUTES * 60 * 16000)), 16000)
    files, asked = {"file": path.read_bytes()}, {"stream": "true"}
    with httpx.stream("POST", server.url + PATH, data=asked, files=files, timeout=60) as left:
        assert left.status_code == 200
    assert server.logged(path=PATH, code="client-gone", status=200)
    assert "failed" not in [line["event"] for line in server.lines()]


def test_the_service_stops_amid_it(server: Running, silence: bytes, tmp_path: Path) -> None:
    """Its file is not closed while a worker reads it, though both cancel: who leaves, and that."""
    leaves, stays = send(server, silence), send(server, silence)
    while server.gauge("asrpack_jobs ") < 2:
        pass
    leaves.close()
    server.process.terminate()
    with stays:
        answer(stays)
    assert server.process.wait(60) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert "Exception ignored" not in (tmp_path / "log").read_text()
