"""Vosk's protocol on a model that streams, and on one that does not."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soxr
import websockets

from asrpack.runtime.search import Hypothesis
from tests.runtime.conftest import Sealed
from tests.runtime.service.protocol_clients import (
    closed,
    streamed,
    streamed_nbest,
    transcribed,
    transcribed_nbest,
    vosk,
)
from tests.runtime.service.running import Running, running
from tests.runtime.service.test_paddlespeech import SAMPLES
from tests.runtime.service.test_server import command, environment


def url(server: Running) -> str:
    return server.url.replace("http", "ws") + "/vosk"


def said(answers: list[Any]) -> str:
    return " ".join(filter(None, (item.get("text", "") for item in answers)))


def test_a_stream_is_answered_packet_by_packet(streaming_server: Running) -> None:
    *partial, last = found = asyncio.run(vosk(url(streaming_server), SAMPLES))
    assert any(item.get("partial") for item in partial)
    assert said(found) == streamed(SAMPLES)
    words = [word for item in found for word in item.get("result", [])]
    assert " ".join(word["word"] for word in words).split() == said(found).split()
    edges = [edge for word in words for edge in (word["start"], word["end"])]
    assert edges == sorted(edges) and edges[-1] <= 5
    assert all(0 <= word["conf"] <= 1 for word in words) and "partial" not in last


def test_what_an_utterance_ended_with_is_not_said_again(streaming_server: Running) -> None:
    long = np.tile(SAMPLES, 3)  # over 10 s, the model's most
    *before, last = found = asyncio.run(vosk(url(streaming_server), long))
    assert any("text" in item for item in before) and last["text"]
    assert said(found) == streamed(long)


def test_words_and_alternatives_as_asked(streaming_server: Running) -> None:
    nbest = streamed_nbest(SAMPLES)
    assert len(nbest) == 4
    for most in (1, 3, 9):
        found = asyncio.run(vosk(url(streaming_server), SAMPLES, max_alternatives=most))[-1]
        check_alternatives(found, nbest[:most])
    found = asyncio.run(vosk(url(streaming_server), SAMPLES, words=0, max_alternatives=3))[-1]
    assert [set(item) for item in found["alternatives"]] == [{"confidence", "text"}] * 3


def check_alternatives(found: Any, nbest: list[Hypothesis]) -> None:
    """As ``Recognizer::NbestResult`` of vosk-api writes them: log-likelihoods, words and times."""
    assert set(found) == {"alternatives"}
    assert [(item["text"], item["confidence"]) for item in found["alternatives"]] == [
        (item.text, pytest.approx(item.score, rel=1e-6, abs=1e-6)) for item in nbest
    ]
    for item in found["alternatives"]:
        words = item.get("result", [])
        assert " ".join(word["word"] for word in words).split() == item["text"].split()
        edges = [edge for word in words for edge in (word["start"], word["end"])]
        assert edges == sorted(edges)
        assert all(set(word) == {"word", "start", "end"} for word in words)


def test_alternatives_at_an_endpoint(streaming_server: Running) -> None:
    long = np.tile(SAMPLES, 3)  # over 10 s, the model's most
    found = asyncio.run(vosk(url(streaming_server), long, max_alternatives=3))
    answers = [item["alternatives"] for item in found if "alternatives" in item]
    assert [len(item) for item in answers] == [3] * len(answers) and len(answers) > 1
    assert " ".join(item[0]["text"] for item in answers) == streamed(long)


def test_alternatives_of_a_model_of_whole_recordings(whole_server: Running) -> None:
    found = asyncio.run(vosk(url(whole_server), SAMPLES, max_alternatives=3))[-1]
    check_alternatives(found, transcribed_nbest(SAMPLES)[:3])


def test_another_rate_is_resampled(streaming_server: Running) -> None:
    slow = soxr.resample(SAMPLES, 16000, 8000).round().astype(np.float32)
    again = soxr.resample(slow, 8000, 16000)
    assert said(asyncio.run(vosk(url(streaming_server), slow, 8000))) == streamed(again)


def test_phrases_are_preferred(streaming_server: Running) -> None:
    plain = said(asyncio.run(vosk(url(streaming_server), SAMPLES)))
    found = asyncio.run(vosk(url(streaming_server), SAMPLES, phrase_list=["bbbbb", "[unk]"]))
    assert said(found) != plain and said(found).count("b") > plain.count("b")


def test_reset_ends_a_text_and_goes_on(streaming_server: Running) -> None:
    async def twice() -> list[Any]:
        found = []
        async with websockets.connect(url(streaming_server)) as socket:
            for end in ('{"reset" : 1}', '{"eof" : 1}'):
                await socket.send(SAMPLES.astype("<i2").tobytes())
                found.append(json.loads(await socket.recv()))
                await socket.send(end)
                found.append(json.loads(await socket.recv()))
        return found

    found = asyncio.run(twice())
    assert said(found[:2]) == said(found[2:]) == streamed(SAMPLES)


def test_a_model_of_whole_recordings_answers_in_the_end(whole_server: Running) -> None:
    *partial, last = asyncio.run(vosk(url(whole_server), SAMPLES))
    assert {json.dumps(item) for item in partial} == {'{"partial": ""}'}
    assert last["text"] == transcribed(SAMPLES)


def test_silence_that_never_ends_is_cut_off(streaming_server: Running) -> None:
    _, close = asyncio.run(closed(url(streaming_server), [bytes(64_000)] * 17))
    assert close.code == 1008 and "30" in close.reason


@pytest.mark.parametrize("kind", ["streaming", "whole"])
@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (["no json"], "config"),
        (["[" * 100_000], "config"),
        (["[]"], "config"),
        (['{"config": 5}'], "config"),
        (['{"config": {"sample_rate": 5}}'], "4000"),
        (['{"config": {"sample_rate": "much"}}'], "4000"),
        (['{"config": {"sample_rate": 1e400}}'], "4000"),
        (['{"config": {"max_alternatives": -1}}'], "integer from 0"),
        (['{"config": {"max_alternatives": true}}'], "integer from 0"),
        (['{"config": {"phrase_list": 5}}'], "list of texts"),
        (['{"config": {"phrase_list": ["xyz"]}}'], "spells it"),
        ([json.dumps({"config": {"phrase_list": ["a"] * 1001}})], "at most 1000"),
        ([json.dumps({"config": {"phrase_list": ["a" * 200] * 101}})], "20000 characters"),
        ([json.dumps({"config": {"phrase_list": ["a" * 201]}})], "200 characters"),
        (['{"config": {"model": "/etc/passwd"}}'], "leave `model` out"),
        ([b"\0\0", '{"config": {}}'], "first"),
    ],
)
def test_a_broken_conversation_ends_with_what_to_do(
    request: pytest.FixtureRequest, kind: str, messages: list[str | bytes], told: str
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    _, close = asyncio.run(closed(url(server), messages))
    assert close.code == 1008 and told in close.reason


def test_too_many_streams_are_told_to_come_back(streaming_server: Running) -> None:
    async def four() -> Any:
        sockets = [await websockets.connect(url(streaming_server)) for _ in range(4)]
        for item in sockets[:-1]:
            await item.send(b"\0\0")
            await item.recv()
        await sockets[-1].send(b"\0\0")
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await sockets[-1].recv()
        for item in sockets[:-1]:
            await item.close()
        return caught.value.rcvd

    close = asyncio.run(four())
    assert close.code == 1013 and "try again in" in close.reason


async def _connect(
    server: Running, *offered: str, path: str = "/vosk", **headers: str
) -> str | None:
    """The subprotocol that the server chose."""
    async with websockets.connect(
        server.url.replace("http", "ws") + path,
        additional_headers=headers,
        subprotocols=offered or None,
    ) as socket:
        await socket.send(b"\0\0")
        await socket.recv()
        return socket.subprotocol


def coded(key: str) -> str:
    """As the page offers it."""
    return "asrpack-api-key." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def test_no_other_origins_page_may_stream(streaming_server: Running) -> None:
    asyncio.run(_connect(streaming_server, Origin=streaming_server.url))
    for origin in ("https://app.example", "null", streaming_server.url + "0"):
        with pytest.raises(websockets.InvalidStatus) as caught:
            asyncio.run(_connect(streaming_server, Origin=origin))
        assert caught.value.response.status_code == 403


def test_a_stream_needs_the_key_and_an_origin_that_may(
    streaming_sealed: Sealed, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("0123456789abcdef\n")
    more = ["--api-keys", str(tmp_path / "keys"), "--cors", "https://app.example"]
    start = command(streaming_sealed, *more)
    with running(start, tmp_path / "log", environment(streaming_sealed)) as server:
        key = {"Authorization": "Bearer 0123456789abcdef"}
        asyncio.run(_connect(server, Origin="https://app.example", **key))
        refused = [
            ({}, 401),
            ({"Origin": "https://app.example"}, 401),
            ({"Origin": "null", **key}, 403),
        ]
        for headers, status in refused:
            with pytest.raises(websockets.InvalidStatus) as caught:
                asyncio.run(_connect(server, **headers))
            assert caught.value.response.status_code == status


def test_a_browser_offers_the_key_as_a_subprotocol(
    streaming_sealed: Sealed, tmp_path: Path
) -> None:
    keys = ["0123456789abcdef", "schlüssel, ein ??? langer"]
    (tmp_path / "keys").write_text("\n".join(keys))
    start = command(streaming_sealed, "--api-keys", str(tmp_path / "keys"))
    log = tmp_path / "log"
    with running(start, log, environment(streaming_sealed)) as server:
        for path in ("/vosk", "/"):
            for key in keys:
                offered = ["binary", coded(key)]
                assert asyncio.run(_connect(server, *offered, path=path)) == "binary"
                assert asyncio.run(_connect(server, *offered[::-1], path=path)) == "binary"
            wrong = [
                [],
                ["binary"],
                ["binary", keys[0]],
                ["binary", coded("0123456789abcdeg")],
                ["binary", coded("")],
                ["binary", "asrpack-api-key."],
                ["binary", "asrpack-api-key.a"],
                ["binary", "asrpack-api-key.~~~~"],
            ]
            for offered in wrong:
                with pytest.raises(websockets.InvalidStatus) as caught:
                    asyncio.run(_connect(server, *offered, path=path))
                assert caught.value.response.status_code == 401
            header = "Bearer 0123456789abcdeg"
            with pytest.raises(websockets.InvalidStatus):
                asyncio.run(_connect(server, "binary", coded(keys[0]), Authorization=header))
        models = f"{server.url}/v1/models"
        header = {"authorization": f"Bearer {keys[1]}".encode()}
        assert httpx.get(models, headers=header).status_code == 200
        assert httpx.get(models, headers={"sec-websocket-protocol": coded(keys[0])}).is_error
        assert server.stop() == 0
    assert not any(text in log.read_text() for key in keys for text in (key, coded(key)))
