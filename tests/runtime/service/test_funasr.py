"""FunASR's protocol on a model that streams, and on one that does not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
import soxr
import websockets

from tests.runtime.service.protocol_clients import (
    closed,
    funasr,
    funasr_text,
    streamed,
    transcribed,
)
from tests.runtime.service.running import Running
from tests.runtime.service.test_paddlespeech import SAMPLES, SOUND
from tests.runtime.service.test_server import recorded

START = '{"mode": "2pass", "is_speaking": true, "wav_name": "a"}'
OFFLINE = '{"mode": "offline", "is_speaking": true, "wav_format": "flac"}'
LONG = np.tile(SAMPLES, 3)  # over 10 s, the model's most: an utterance ends


def url(server: Running, path: str = "/funasr") -> str:
    return server.url.replace("http", "ws") + path


def test_two_passes(streaming_server: Running) -> None:
    *found, end = asyncio.run(funasr(url(streaming_server), LONG))
    assert (end["is_end"], end["is_final"]) == (True, True)
    assert {item["mode"] for item in found} == {"2pass-online", "2pass-offline"}
    assert {item["wav_name"] for item in found} == {"demo"}
    assert [item["is_final"] for item in found] == [False] * (len(found) - 1) + [True]
    assert funasr_text(found) == streamed(LONG)
    offline = [item for item in found if item["mode"] == "2pass-offline"]
    assert len(offline) > 1
    times = [edge for item in offline for pair in json.loads(item["timestamp"]) for edge in pair]
    assert times == sorted(times) and times[-1] <= 15_000
    sentences = [part for item in offline for part in item["stamp_sents"]]
    assert [part["text_seg"] for part in sentences] == [item["text"].strip() for item in offline]


def test_online_text_is_only_added_to(streaming_server: Running) -> None:
    found = asyncio.run(funasr(url(streaming_server), LONG, mode="online"))[:-1]
    assert {item["mode"] for item in found} == {"online"}
    assert len(found) > 5 and found[-1]["is_final"]
    assert funasr_text(found) == streamed(LONG)


@pytest.mark.parametrize("kind", ["streaming", "whole"])
def test_offline_is_one_answer(request: pytest.FixtureRequest, kind: str) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    (found, _) = asyncio.run(funasr(url(server), SAMPLES, mode="offline"))
    (file, _) = asyncio.run(funasr(url(server), SOUND, mode="offline", wav_format="others"))
    assert found["mode"] == "offline" and found["is_final"]
    if kind == "whole":
        assert found["text"] == transcribed(SAMPLES)
    assert file["text"].split() and len(json.loads(file["timestamp"])) == len(file["text"].split())


def test_a_model_of_whole_recordings_does_the_second_pass(whole_server: Running) -> None:
    (found, _) = asyncio.run(funasr(url(whole_server), SAMPLES))
    assert (found["mode"], found["text"]) == ("2pass-offline", transcribed(SAMPLES))


def test_a_model_of_whole_recordings_has_no_online_mode(whole_server: Running) -> None:
    asked = START.replace("2pass", "online")
    found, close = asyncio.run(closed(url(whole_server), [asked]))
    assert "whole recordings only" in found[-1]["error"] and close.code == 1008


def test_another_rate_is_resampled(streaming_server: Running) -> None:
    slow = soxr.resample(SAMPLES, 16000, 8000).round().astype(np.float32)
    found = asyncio.run(funasr(url(streaming_server), slow, 8000))
    assert funasr_text(found) == streamed(soxr.resample(slow, 8000, 16000))


@pytest.mark.parametrize("hotwords", ['{"bbbbb": 20}', "bbbbb,bb", {"bbbbb": 20}])
def test_hotwords_are_preferred(streaming_server: Running, hotwords: Any) -> None:
    found = asyncio.run(funasr(url(streaming_server), SAMPLES, hotwords=hotwords))
    assert funasr_text(found).count("b") > streamed(SAMPLES).count("b")


def test_one_recording_after_the_other_without_a_path(streaming_server: Running) -> None:
    async def two() -> list[Any]:
        found = []
        async with websockets.connect(url(streaming_server, "/")) as socket:
            for _ in range(2):
                for message in (START, SAMPLES.astype("<i2").tobytes(), '{"is_speaking": false}'):
                    await socket.send(message)
                answers = [json.loads(await socket.recv())]
                while not answers[-1]["is_final"]:
                    answers.append(json.loads(await socket.recv()))
                found.append(funasr_text(answers))
        return found

    assert asyncio.run(two()) == [streamed(SAMPLES)] * 2


@pytest.mark.parametrize("kind", ["streaming", "whole"])
@pytest.mark.parametrize(
    ("messages", "told"),
    [
        (["no json"], "is_speaking"),
        (["[" * 100_000], "is_speaking"),
        (['{"mode": "2pass"}'], "is_speaking"),
        (['{"is_speaking": false}'], "first"),
        ([b"\0\0"], "first"),
        ([START, START], "before the next"),
        ([START, "\0\0"], "is_speaking"),
        ([START, *[bytes(64_000)] * 17], "30"),
        ([OFFLINE, *[bytes(500_000)] * 5], "over 2000000 bytes"),
        ([OFFLINE, b"garbage" * 50, '{"is_speaking": false}'], "decoded"),
        ([OFFLINE, recorded(31, 4000), '{"is_speaking": false}'], "30"),
        ([OFFLINE, '{"is_speaking": false}'], "empty"),
        (['{"is_speaking": true, "mode": ["2pass"]}'], "2pass, online, offline"),
        (['{"is_speaking": true, "mode": "2pass", "wav_format": "mp3"}'], "offline"),
        (['{"is_speaking": true, "audio_fs": -1}'], "4000"),
        (['{"is_speaking": true, "wav_name": "\\ud800"}'], "surrogate"),
        (['{"is_speaking": true, "hotwords": "{\\"\\\\ud800\\": 1}"}'], "surrogate"),
        (['{"is_speaking": true, "hotwords": 5}'], "list of texts"),
        (['{"is_speaking": true, "hotwords": "xyz"}'], "spells it"),
        ([json.dumps({"is_speaking": True, "hotwords": "a" * 201})], "200 characters"),
    ],
)
def test_a_broken_conversation_ends_with_what_to_do(
    request: pytest.FixtureRequest, kind: str, messages: list[str | bytes], told: str
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    found, close = asyncio.run(closed(url(server), messages))
    assert found[-1]["is_final"] is False and told in found[-1]["error"]
    assert close.code == 1008 and close.reason
