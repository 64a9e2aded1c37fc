"""What the application does when the engine is busy, and when a client leaves."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from starlette.types import Message

from asrpack.errors import InputError
from asrpack.runtime.audio import read_audio
from asrpack.runtime.pieces import Piece
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.service.transcribing import read_file
from tests.runtime import tiny
from tests.runtime.service.in_process import form_scope, make_app, request
from tests.runtime.service.running import upload
from tests.runtime.service.test_server import PATH, recorded


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(tiny.describe(), tiny.graphs(), threads=1)


def test_busy_is_429_and_when_to_come_back(recognizer: Recognizer) -> None:
    app, engine = make_app(recognizer, jobs=1)
    files = {"file": ("a.wav", recorded(1))}
    with engine.job():
        found = request(app, "POST", PATH, files=files)
        assert found.status_code == 429
        assert found.headers["retry-after"] == "1"
        error = found.json()["error"]
        assert (error["code"], error["type"]) == ("busy", "rate_limit_error")
        assert "try again in 1 s" in error["message"]
    assert request(app, "POST", PATH, files=files).status_code == 200
    engine.close()
    assert request(app, "POST", PATH, files=files).status_code == 503


def test_an_error_of_ours_is_500_with_the_id_and_no_more(recognizer: Recognizer) -> None:
    class Broken(Recognizer):
        def features(self, samples):
            if len(samples) == 16001:
                raise RuntimeError("a secret path")
            return super().features(samples)

    app, engine = make_app(Broken(tiny.describe(), tiny.graphs(), threads=1))
    files = {"file": ("a.wav", recorded(16001 / 16000))}
    found = request(app, "POST", PATH, files=files, headers={"x-request-id": "r1"})
    assert found.status_code == 500
    assert "r1" in found.json()["error"]["message"] and "secret" not in found.text
    assert engine.running == 0
    engine.close()


def spoken(quickstart: Path) -> bytes:
    """Longer than one piece."""
    said = read_audio(quickstart / "data/human/002.wav", 16000) / 32768
    stream = io.BytesIO()
    soundfile.write(stream, np.tile(np.pad(said, (0, 16000)), 8), 16000, format="WAV")
    return stream.getvalue()


@pytest.mark.parametrize("stream", ["true", "false"])
def test_what_nobody_waits_for_is_not_recognised(
    recognizer: Recognizer, stream: str, quickstart: Path
) -> None:
    app, engine = make_app(recognizer, workers=1)
    recognised: list[int] = []
    engine._on_batch = lambda size, *_: recognised.append(size)
    go = threading.Event()
    _, start, end = upload(0)
    form = b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\n' + stream.encode()
    body = form + b"\r\n" + start + spoken(quickstart) + end
    received = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal received
        received += 1
        if received == 1:
            return {"type": "http.request", "body": body}
        while not engine.waiting()[0]:  # a piece is read, and waits to be recognised
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def talk() -> None:
        # The only worker reads a piece, and then it is held.
        read = engine.read

        def read_then_hold(function, meter):
            def step():
                found = function()
                if isinstance(found, Piece):
                    engine.stream(go.wait)
                return found

            return read(step, meter)

        engine.read = read_then_hold  # type: ignore[method-assign]
        await app(form_scope(PATH), receive, send)

    asyncio.run(asyncio.wait_for(talk(), 60))
    assert engine.running == 0
    go.set()
    engine.close()
    assert engine.waiting() == (0, 0.0)
    assert recognised == []
    assert [message["status"] for message in sent if "status" in message] == [499]


def test_nobody_hears_of_a_file_that_fails_once_its_client_left(
    recognizer: Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    _, engine = make_app(recognizer)
    begun, left = threading.Event(), threading.Event()

    def read() -> None:
        begun.set()
        left.wait()
        raise InputError("the audio is cut short", code="audio-truncated", place="a.wav", remedy="")

    async def leave() -> None:
        reading = asyncio.create_task(read_file(engine, read))
        await asyncio.to_thread(begun.wait)
        reading.cancel()
        asyncio.get_running_loop().call_later(0.1, left.set)
        await asyncio.wait([reading])
        assert reading.cancelled()

    asyncio.run(leave())
    gc.collect()
    engine.close()
    assert caplog.records == []
