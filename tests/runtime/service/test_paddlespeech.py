"""PaddleSpeech's protocols on a model that streams, by small clients; its own are in tests/e2e."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import websockets

from asrpack.runtime.audio import read_audio
from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.streaming import StreamingRecognizer
from tests.runtime import tiny
from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, running
from tests.runtime.service.test_server import command, environment, recorded

STREAMING = "/paddlespeech/asr/streaming"
SOUND = recorded(5)
SAMPLES = read_audio(SOUND, 16000)
PACKET = 1360  # samples that PaddleSpeech's client sends, 85 ms
RECOGNIZER = Recognizer(tiny.describe_streaming(), tiny.streaming_graphs(), threads=1)


@pytest.fixture(scope="module")
def server(streaming_sealed: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("service") / "log"
    limits = ["--max-duration", "30", "--max-body", "2", "--jobs", "3"]
    with running(command(streaming_sealed, *limits), log, environment(streaming_sealed)) as found:
        yield found
        assert httpx.get(f"{found.url}/health").status_code == 200
        assert found.gauge("asrpack_jobs ") == 0
        assert "failed" not in [line["event"] for line in found.lines()]


def ask(server: Running, body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/paddlespeech/asr", json=body)


def test_a_recording_in_json(server: Running) -> None:
    body = {"audio": base64.b64encode(SOUND).decode(), "audio_format": "wav", "sample_rate": 16000}
    found = ask(server, {**body, "lang": "zh_cn"})
    assert found.json() == {
        "success": True,
        "code": 200,
        "message": {"description": "success"},
        "result": {"transcription": RECOGNIZER.transcribe(SAMPLES).text},
    }
    assert httpx.get(f"{server.url}/paddlespeech/asr/help").json()["code"] == 200


def test_base64_with_line_ends(server: Running) -> None:
    lines = base64.encodebytes(SOUND)
    plain = {"audio": base64.b64encode(SOUND).decode()}
    for encoded in (lines, lines.replace(b"\n", b"\r\n"), b" \t" + lines):
        assert ask(server, {"audio": encoded.decode()}).json() == ask(server, plain).json()


def test_half_a_surrogate_is_no_base64(server: Running) -> None:
    found = httpx.post(f"{server.url}/paddlespeech/asr", content=b'{"audio": "\\ud800"}')
    assert found.status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ([], 400, "base64"),
        ({"audio": 5}, 400, "base64"),
        ({"audio": "%%%"}, 400, "`audio` is not base64"),
        ({"audio": ""}, 400, "0 bytes"),
        ({"audio": base64.b64encode(b"garbage" * 50).decode()}, 415, "cannot be decoded|decoded"),
        ({"audio": "A" * 2_100_000}, 413, "over 2000000 bytes"),
        ({"audio": base64.b64encode(recorded(31, 8000)).decode()}, 413, "at most 30"),
    ],
)
def test_what_cannot_be_recognised(server: Running, body: Any, status: int, told: str) -> None:
    found = ask(server, body)
    assert (found.status_code, found.json()["success"], found.json()["code"]) == (
        *(status, False, status),
    )
    assert any(part in found.json()["message"]["description"] for part in told.split("|"))


async def talk(url: str, messages: list[str | bytes], replies: int | None = None) -> list[Any]:
    """Sends each and waits for its answer, as PaddleSpeech's client does."""
    found = []
    async with websockets.connect(url) as socket:
        for message in messages:
            await socket.send(message)
            found.append(json.loads(await socket.recv()))
            if found[-1].get("status") == "error":
                break
    return found


def packets(samples: np.ndarray) -> list[bytes]:
    pcm = samples.astype("<i2").tobytes()
    return [pcm[at : at + 2 * PACKET] for at in range(0, len(pcm), 2 * PACKET)]


def conversation(samples: np.ndarray) -> list[str | bytes]:
    signals = [json.dumps({"signal": name, "nbest": 1}) for name in ("start", "end")]
    return [signals[0], *packets(samples), signals[1]]


def url(server: Running) -> str:
    return server.url.replace("http", "ws") + STREAMING


def expected(samples: np.ndarray) -> tuple[list[str], str]:
    """Texts after each packet, and in the end."""
    stream = StreamingRecognizer(RECOGNIZER).stream(None, Endpointing())
    texts = []
    for packet in packets(samples):
        partial = stream.accept(np.frombuffer(packet, "<i2").astype(np.float32)).text
        done = [segment.hypothesis.text for segment in stream.segments]
        texts.append(" ".join(filter(None, [*done, partial])))
    return texts, stream.finish().text


def test_a_stream_gives_text_while_it_lasts_and_times_in_the_end(server: Running) -> None:
    ready, *partial, last = asyncio.run(talk(url(server), conversation(SAMPLES)))
    texts, final = expected(SAMPLES)
    assert ready == {"status": "ok", "signal": "server_ready"}
    assert [item["result"] for item in partial] == texts
    assert (last["status"], last["signal"], last["result"]) == ("ok", "finished", final)
    assert " ".join(item["w"] for item in last["times"]).split() == final.split()
    edges = [edge for item in last["times"] for edge in (item["bg"], item["ed"])]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= 5


def test_streams_at_once_do_not_mix(server: Running) -> None:
    sounds = [read_audio(recorded(2 + seed, seed=seed), 16000) for seed in range(3)]

    async def all_of_them() -> list[list[Any]]:
        return await asyncio.gather(*(talk(url(server), conversation(s)) for s in sounds))

    for samples, found in zip(sounds, asyncio.run(all_of_them()), strict=True):
        assert found[-1]["result"] == expected(samples)[1]


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["no json"], 400),
        (["[]"], 400),
        (['{"signal": "stop"}'], 400),
        (['{"signal": "end"}'], 400),
        ([b"\0\0"], 400),
        (['{"signal": "start"}', '{"signal": "start"}'], 400),
        (['{"signal": "start"}', *[bytes(320_000)] * 4], 413),
    ],
)
def test_a_broken_conversation_ends_with_what_is_wrong(
    server: Running, messages: list[str | bytes], code: int
) -> None:
    last = asyncio.run(talk(url(server), messages))[-1]
    assert (last["status"], last["code"]) == ("error", code)
    assert "; " in last["message"]


def test_too_many_streams_are_told_so(server: Running) -> None:
    async def four() -> Any:
        start = '{"signal": "start"}'
        sockets = [await websockets.connect(url(server)) for _ in range(4)]
        for item in sockets:
            await item.send(start)
        last = [json.loads(await item.recv()) for item in sockets][-1]
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await sockets[-1].recv()
        for item in sockets[:-1]:
            await item.close()
        return last, caught.value.rcvd.code

    last, code = asyncio.run(four())
    assert (last["code"], code) == (429, 1013)
    assert "try again in" in last["message"]


def test_a_client_that_vanishes_leaves_no_stream_behind(server: Running) -> None:
    async def vanish() -> None:
        socket = await websockets.connect(url(server))
        await socket.send('{"signal": "start"}')
        await socket.recv()
        await socket.send(packets(SAMPLES)[0])
        socket.transport.abort()

    for _ in range(5):  # more than there may be at a time
        asyncio.run(vanish())
    deadline = time.monotonic() + 20
    while server.gauge("asrpack_jobs ") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert asyncio.run(talk(url(server), conversation(SAMPLES)))[-1]["signal"] == "finished"


@pytest.mark.slow
def test_one_that_reads_nothing_is_cut_off_and_does_not_stop_the_others(server: Running) -> None:
    async def both() -> Any:
        # A small window, so that what is not read soon stands still.
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        raw.connect(("127.0.0.1", server.port))
        deaf = await websockets.connect(url(server), sock=raw, max_queue=1, compression=None)
        deaf.transport.pause_reading()
        await deaf.send('{"signal": "start"}')
        await deaf.send(np.tile(SAMPLES, 4).astype("<i2").tobytes())  # answers are long from here
        for _ in range(50_000):  # more than the kernel keeps
            await deaf.send(b"\0\0")
        last = (await talk(url(server), conversation(SAMPLES)))[-1]
        while not server_gave_up():
            await asyncio.sleep(0.5)
        deaf.transport.abort()
        return last

    def server_gave_up() -> bool:
        lines = [line for line in server.lines() if line.get("code") == "client-stalled"]
        return any(20 < line.get("audio_seconds", 0) < 25 for line in lines)

    assert asyncio.run(asyncio.wait_for(both(), 100))["signal"] == "finished"


def test_a_model_of_whole_recordings_says_so(sealed_once: Sealed, tmp_path) -> None:
    with running(command(sealed_once), tmp_path / "log", environment(sealed_once)) as server:
        last = asyncio.run(talk(url(server), ['{"signal": "start"}']))[-1]
        assert (last["status"], last["code"]) == ("error", 400)
        assert "whole recordings only" in last["message"]


def test_a_stream_needs_the_key_too(streaming_sealed: Sealed, tmp_path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("0123456789abcdef\n")
    start = command(streaming_sealed, "--api-keys", str(keys))
    with running(start, tmp_path / "log", environment(streaming_sealed)) as server:

        async def with_key(key: str) -> Any:
            headers = {"authorization": f"Bearer {key}"}
            async with websockets.connect(url(server), additional_headers=headers) as socket:
                await socket.send('{"signal": "start"}')
                return json.loads(await socket.recv())

        assert asyncio.run(with_key("0123456789abcdef"))["signal"] == "server_ready"
        with pytest.raises(websockets.InvalidStatus) as caught:
            asyncio.run(with_key("0123456789abcdeg"))
        assert caught.value.response.status_code == 401
        assert json.loads(caught.value.response.body)["error"]["code"] == "api-key"
        assert server.logged(code="api-key", status=401, method="WEBSOCKET")
        assert not [line for line in server.lines() if line["level"] == "error"]
