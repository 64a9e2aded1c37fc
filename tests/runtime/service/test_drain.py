"""Told to stop, a service ends what is under way, and begins nothing."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.runtime.conftest import Sealed
from tests.runtime.service.protocol_clients import funasr_text, pieces, streamed
from tests.runtime.service.running import Running, answer, running, upload
from tests.runtime.service.test_paddlespeech import SAMPLES
from tests.runtime.service.test_server import certificate, command, environment

PACKETS = pieces(SAMPLES, 8000)
HALF = len(PACKETS) // 2


def url(server: Running, path: str) -> str:
    return server.url.replace("http", "ws") + path


async def ended(socket: websockets.ClientConnection) -> Any:
    """The close frame, waited for."""
    with pytest.raises(websockets.ConnectionClosed) as caught:
        while True:
            await asyncio.wait_for(socket.recv(), 60)
    return caught.value.rcvd


def test_a_stream_goes_on_to_its_text_and_no_other_begins(
    streaming_sealed: Sealed, tmp_path: Path
) -> None:
    start = command(streaming_sealed, "--decode", "ctc_prefix_beam_search", "--drain", "300")

    async def talk(server: Running) -> None:
        async with (
            websockets.connect(url(server, "/vosk")) as vosk,
            websockets.connect(url(server, "/")) as funasr,
            websockets.connect(url(server, "/funasr")) as idle,
        ):
            await funasr.send('{"is_speaking": true}')
            for packet in PACKETS[:HALF]:
                await vosk.send(packet)
                await vosk.recv()
                await funasr.send(packet)
            server.process.terminate()
            close = await ended(idle)
            assert close.code == 1012 and "try again in" in close.reason
            with pytest.raises(ConnectionRefusedError):
                await websockets.connect(url(server, "/wenet"))
            for packet in PACKETS[HALF:]:
                await vosk.send(packet)
                await vosk.recv()
                await funasr.send(packet)
            await vosk.send('{"eof" : 1}')
            assert json.loads(await vosk.recv())["text"] == streamed(SAMPLES)
            assert (await ended(vosk)).code == 1000
            await funasr.send('{"is_speaking": false}')
            answers = [json.loads(await funasr.recv())]
            while not answers[-1]["is_final"]:
                answers.append(json.loads(await funasr.recv()))
            assert funasr_text(answers) == streamed(SAMPLES)
            assert (await ended(funasr)).code == 1012

    with running(start, tmp_path / "log", environment(streaming_sealed)) as server:
        asyncio.run(talk(server))
        assert server.process.wait(60) == 0
        codes = {line["path"]: line.get("code") for line in server.logged(event="request")}
    assert codes["/vosk"] is None and codes["/funasr"] == "draining"
    assert server.lines()[-1]["event"] == "stopped"


def test_who_does_not_answer_a_close_frame_is_not_waited_for(
    streaming_sealed: Sealed, tmp_path: Path
) -> None:
    start = command(streaming_sealed, "--drain", "300")
    with (
        running(start, tmp_path / "log", environment(streaming_sealed)) as server,
        server.connect() as idle,
    ):
        idle.sendall(
            b"GET /vosk HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" in idle.recv(1000)
        server.process.terminate()
        assert b"try again in" in idle.recv(1000)
        assert server.process.wait(8) == 0


def test_what_takes_longer_is_cut_off_and_told(streaming_sealed: Sealed, tmp_path: Path) -> None:
    """A stream that does not end, with audio unread, and an upload that does not."""
    start = command(streaming_sealed, "--drain", "2")

    async def talk(server: Running) -> Any:
        async with websockets.connect(url(server, "/wenet")) as socket:
            await socket.send('{"signal": "start", "continuous_decoding": true}')
            await socket.recv()
            server.process.terminate()
            sending = asyncio.create_task(speak(socket))
            close = await ended(socket)
            await sending
            return close

    async def speak(socket: websockets.ClientConnection) -> None:
        with pytest.raises(websockets.ConnectionClosed):
            while True:
                await socket.send(PACKETS[0])
                await asyncio.sleep(0.05)

    with (
        running(start, tmp_path / "log", environment(streaming_sealed)) as server,
        server.connect() as connection,
    ):
        header, begin, _ = upload(500_000)
        connection.sendall(header + begin)
        close = asyncio.run(talk(server))
        assert close.code == 1012 and "shutting down" in close.reason
        found = answer(connection)
        assert found.startswith(b"HTTP/1.1 503 ") and b'"draining"' in found
        assert server.process.wait(60) == 0
    assert server.logged(path="/wenet", status=101, code="draining")
    assert server.logged(path="/v1/audio/transcriptions", status=503, code="draining")
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_who_connected_before_and_asks_too_late(streaming_sealed: Sealed, tmp_path: Path) -> None:
    """A connection whose handshake is not over when the service is told to stop."""
    certificate(tmp_path)
    context = ssl.create_default_context(cafile=tmp_path / "tls.pem")
    start = command(
        streaming_sealed,
        *("--tls-certificate", str(tmp_path / "tls.pem"), "--tls-key", str(tmp_path / "tls.key")),
    )
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )

    async def talk(server: Running) -> None:
        files = server.gauge("process_open_fds", verify=context)
        late = [server.connect() for _ in range(2)]
        while server.gauge("process_open_fds", verify=context) < files + len(late):
            await asyncio.sleep(0.05)
        async with (
            websockets.connect(url(server, "/vosk"), ssl=context) as socket,
            websockets.connect(url(server, "/vosk"), ssl=context) as idle,
        ):
            await socket.send(PACKETS[0])
            await socket.recv()
            server.process.terminate()
            assert (await ended(idle)).code == 1012
            for connection, more in zip(late, ("", upgrade), strict=True):
                with context.wrap_socket(connection, server_hostname="127.0.0.1") as secured:
                    secured.sendall(f"GET /vosk HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
                    found = answer(secured)
                    assert found.startswith(b"HTTP/1.1 503 ") and b'"draining"' in found
            await socket.send('{"eof" : 1}')
            assert "text" in json.loads(await socket.recv())

    with running(start, tmp_path / "log", environment(streaming_sealed)) as server:
        asyncio.run(talk(server))
        assert server.process.wait(60) == 0
