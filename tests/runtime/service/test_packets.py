"""Packets of any number of bytes, over all WebSocket protocols."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import websockets

from asrpack.runtime.rf64 import rf64_header
from tests.runtime.service.protocol_clients import (
    funasr,
    funasr_text,
    streamed,
    transcribed,
)
from tests.runtime.service.running import Running
from tests.runtime.service.test_paddlespeech import SAMPLES

# How each begins and ends a stream, and what its last answer has.
PROTOCOLS = {
    "/vosk": (None, '{"eof" : 1}', "text"),
    "/wenet": ('{"signal": "start", "continuous_decoding": true}', '{"signal": "end"}', "nbest"),
    "/funasr": ('{"is_speaking": true}', '{"is_speaking": false}', "is_final"),
    "/paddlespeech/asr/streaming": ('{"signal": "start"}', '{"signal": "end"}', "times"),
}


async def last_of(url: str, path: str, pcm: bytes, stride: int) -> Any:
    """The answer that has the text of a recording without an endpoint."""
    start, end, last = PROTOCOLS[path]
    async with websockets.connect(url.replace("http", "ws") + path, max_queue=None) as socket:
        for message in filter(None, [start, *pieces(pcm, stride), end]):
            await socket.send(message)
        while True:
            found = json.loads(await socket.recv())
            assert "error" not in (found, found.get("status")), found
            if path == "/wenet" and found["type"] == "final_result":
                return json.loads(found["nbest"])[0]["sentence"]
            if path != "/wenet" and last in found and found[last] is not False:
                return found.get("text", found.get("result"))


def pieces(pcm: bytes, stride: int) -> list[bytes]:
    return [pcm[at : at + stride] for at in range(0, len(pcm), stride)]


@pytest.mark.parametrize("stride", [7, 1323, 32001])
@pytest.mark.parametrize("path", PROTOCOLS)
def test_a_sample_may_be_in_two_packets(
    streaming_server: Running, whole_server: Running, path: str, stride: int
) -> None:
    samples = SAMPLES[:16000] if stride == 7 else SAMPLES
    pcm = samples.astype("<i2").tobytes() + b"\x7f"  # half a sample in the end: dropped
    assert asyncio.run(last_of(streaming_server.url, path, pcm, stride)) == streamed(samples)
    if not path.startswith("/paddlespeech"):
        assert asyncio.run(last_of(whole_server.url, path, pcm, stride)) == transcribed(samples)


@pytest.mark.parametrize("mode", ["2pass", "online", "offline"])
def test_the_packets_of_funasrs_client(
    streaming_server: Running, whole_server: Running, mode: str
) -> None:
    """Of 1323 bytes, where the rate is 11025 Hz."""
    slow = soxr.resample(SAMPLES, 16000, 11025).round().astype(np.float32)
    resampled = soxr.resample(slow, 11025, 16000)
    server = whole_server if mode == "offline" else streaming_server
    expected = transcribed(resampled) if mode == "offline" else streamed(resampled)
    url = server.url.replace("http", "ws") + "/funasr"
    assert funasr_text(asyncio.run(funasr(url, slow, 11025, mode=mode))) == expected


def test_a_recording_of_samples_may_have_more_than_4_gb(tmp_path) -> None:
    path = tmp_path / "a"
    count = 3 << 30
    with path.open("wb") as file:
        file.write(rf64_header(16000, count))
        file.truncate(file.tell() + 2 * count)  # takes no room on disk
    with soundfile.SoundFile(path) as found:
        assert (found.frames, found.samplerate, found.channels) == (count, 16000, 1)
        assert found.subtype == "PCM_16"
