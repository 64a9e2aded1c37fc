"""What the log has of answers that are streamed and break off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message

from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.service import gateway, openai_api
from tests.runtime import tiny
from tests.runtime.service.in_process import form_scope, make_app
from tests.runtime.service.running import upload
from tests.runtime.service.test_server import PATH, SOUND

STREAM = b'--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
_, START, END = upload(0)


def answered(send: Callable[[Message], Awaitable[None]]) -> None:
    """One request whose answer is streamed to ``send``."""
    app, engine = make_app(Recognizer(tiny.describe(), tiny.graphs(), threads=1))
    coming = [{"type": "http.request", "body": STREAM + START + SOUND + END}]

    async def receive() -> Message:
        return coming.pop() if coming else await asyncio.Event().wait()  # type: ignore[func-returns-value]

    asyncio.run(asyncio.wait_for(app(form_scope(PATH), receive, send), 60))
    assert engine.running == 0
    engine.close()


def fields(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [item.fields for item in caplog.records if item.getMessage() == event]  # type: ignore[attr-defined]


def test_a_fault_of_the_service_is_told_and_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Message] = []
    ahead = openai_api._next

    async def fails_amid(found: Any) -> Any:
        if sent:
            raise RuntimeError("a secret path")
        return await ahead(found)

    async def send(message: Message) -> None:
        sent.append(message)

    monkeypatch.setattr(openai_api, "_next", fails_amid)
    with caplog.at_level("INFO", "asrpack.service"):
        answered(send)
    (line,) = fields(caplog, "request")
    assert line["code"] == "internal"
    assert fields(caplog, "failed") == [{"id": line["id"]}] and "a secret path" in caplog.text
    told = b"".join(message.get("body", b"") for message in sent).decode()
    assert "internal error" in told and line["id"] in told and "secret" not in told


def test_a_client_that_reads_nothing_is_no_fault_of_the_service(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(message: Message) -> None:
        if message["type"] != "http.response.start":
            await asyncio.Event().wait()

    monkeypatch.setattr(gateway, "_SEND_SECONDS", 0.2)
    with caplog.at_level("INFO", "asrpack.service"):
        answered(send)
    (line,) = fields(caplog, "request")
    assert line["code"] == "client-stalled" and fields(caplog, "failed") == []
