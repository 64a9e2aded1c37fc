"""WeNet's protocol on a model that streams, and on one that does not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
import websockets

from tests.runtime.service.protocol_clients import (
    closed,
    streamed,
    streamed_nbest,
    transcribed,
    transcribed_nbest,
    vosk,
    wenet,
)
from tests.runtime.service.running import Running
from tests.runtime.service.test_paddlespeech import SAMPLES

START = '{"signal":"start","nbest":1,"continuous_decoding":true}'


def url(server: Running, path: str = "/wenet") -> str:
    return server.url.replace("http", "ws") + path


def finals(answers: list[Any]) -> list[Any]:
    return [json.loads(item["nbest"])[0] for item in answers if item["type"] == "final_result"]


def test_texts_while_it_lasts_and_times_in_the_end(streaming_server: Running) -> None:
    ready, *middle, last = asyncio.run(wenet(url(streaming_server), SAMPLES))
    assert ready == {"status": "ok", "type": "server_ready"}
    assert last == {"status": "ok", "type": "speech_end"}
    assert {item["type"] for item in middle} == {"partial_result", "final_result"}
    (final,) = finals(middle)
    assert final["sentence"] == streamed(SAMPLES)
    pieces = final["word_pieces"]
    assert [piece["word"] for piece in pieces] == final["sentence"].split()
    edges = [edge for piece in pieces for edge in (piece["start"], piece["end"])]
    assert edges == sorted(edges) and edges[-1] <= 5000


def test_as_many_sentences_as_asked_for(streaming_server: Running, whole_server: Running) -> None:
    for server, nbest in (
        (streaming_server, streamed_nbest(SAMPLES)),
        (whole_server, transcribed_nbest(SAMPLES)),
    ):
        for most in (2, 99):
            answers = asyncio.run(wenet(url(server), SAMPLES, nbest=most))
            (final,) = (item for item in answers if item["type"] == "final_result")
            found = json.loads(final["nbest"])
            assert [item["sentence"] for item in found] == [item.text for item in nbest[:most]]
            for item in found:
                words = [piece["word"] for piece in item["word_pieces"]]
                assert " ".join(words).split() == item["sentence"].split()


def test_nothing_said_is_an_empty_sentence(streaming_server: Running) -> None:
    found = asyncio.run(wenet(url(streaming_server), np.zeros(0)))
    assert finals(found) == [{"sentence": "", "word_pieces": []}]


@pytest.mark.parametrize("continuous", [False, True])
def test_an_endpoint_ends_it_unless_it_is_continuous(
    streaming_server: Running, continuous: bool
) -> None:
    long = np.tile(SAMPLES, 3)  # over 10 s, the model's most
    found = asyncio.run(wenet(url(streaming_server), long, continuous_decoding=continuous))
    assert found[-1]["type"] == "speech_end"
    texts = [item["sentence"] for item in finals(found)]
    if continuous:
        assert len(texts) > 1 and " ".join(texts) == streamed(long)
    else:
        assert len(texts) == 1 and streamed(long).startswith(texts[0])


def test_a_model_of_whole_recordings_answers_in_the_end(whole_server: Running) -> None:
    found = asyncio.run(wenet(url(whole_server), SAMPLES))
    assert [item["type"] for item in found] == ["server_ready", "final_result", "speech_end"]
    assert finals(found)[0]["sentence"] == transcribed(SAMPLES)


def test_whoever_may_speak_gets_the_text(whole_server: Running) -> None:
    """Who would be refused in the end is refused in the beginning, of three jobs as of any."""

    async def four() -> Any:
        sockets = [await websockets.connect(url(whole_server)) for _ in range(4)]
        for item in sockets:
            await item.send(START)
        answers = [json.loads(await item.recv()) for item in sockets]
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await sockets[-1].recv()
        for item in sockets[:-1]:
            await item.send(SAMPLES.astype("<i2").tobytes())
            await item.send('{"signal": "end"}')
        texts = [json.loads(await item.recv()) for item in sockets[:-1]]
        for item in sockets:
            await item.close()
        return answers, caught.value.rcvd.code, texts

    answers, code, texts = asyncio.run(four())
    assert [item["status"] for item in answers] == ["ok", "ok", "ok", "failed"]
    assert code == 1013 and "try again in" in answers[-1]["message"]
    assert [finals([item])[0]["sentence"] for item in texts] == [transcribed(SAMPLES)] * 3


@pytest.mark.parametrize("client", [vosk, wenet])
def test_clients_without_a_path_are_told_apart(streaming_server: Running, client: Any) -> None:
    paths = ["/", f"/{client.__name__}"]
    one, other = (asyncio.run(client(url(streaming_server, path), SAMPLES)) for path in paths)
    assert one[-1] == other[-1]


def test_a_protocol_that_nobody_speaks_here(streaming_server: Running) -> None:
    _, close = asyncio.run(closed(url(streaming_server, "/"), ['{"hello": 1}']))
    assert close.code == 1008 and "/wenet" in close.reason


@pytest.mark.parametrize("kind", ["streaming", "whole"])
@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (["no json"], '{"signal": "start"}'),
        (["[" * 100_000], '{"signal": "start"}'),
        (['{"signal": ["start"]}'], '{"signal": "start"}'),
        (['{"signal": "end"}'], '{"signal": "start"} first'),
        ([b"\0\0"], '{"signal": "start"} first'),
        ([START, START], '{"signal": "end"}'),
        ([START, "\0\0"], '{"signal": "end"}'),
        ([START, *[bytes(64_000)] * 17], "30"),
        (['{"signal": "start", "nbest": "one"}'], "integer"),
        (['{"signal": "start", "nbest": 0}'], "integer from 1"),
        (['{"signal": "start", "continuous_decoding": 1}'], "true or false"),
    ],
)
def test_a_broken_conversation_ends_with_what_to_do(
    request: pytest.FixtureRequest, kind: str, messages: list[str | bytes], told: str
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    found, close = asyncio.run(closed(url(server), messages))
    assert found[-1]["status"] == "failed" and told in found[-1]["message"]
    assert close.code == 1008 and close.reason
