"""Clients of other servers' WebSocket protocols, sending what their own clients send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import websockets

from asrpack.runtime.endpointing import Endpointing
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Hypothesis
from asrpack.runtime.streaming import StreamingRecognizer
from tests.runtime import tiny


def pieces(samples: np.ndarray, size: int) -> list[bytes]:
    """16-bit PCM, ``size`` samples each."""
    pcm = samples.astype("<i2").tobytes()
    return [pcm[at : at + 2 * size] for at in range(0, len(pcm), 2 * size)]


async def vosk(url: str, samples: np.ndarray, rate: int = 16000, **config: Any) -> list[Any]:
    """As websocket/test.py of alphacep/vosk-server: an answer is read after each message.

    Returns:
        All answers.
    """
    found = []
    async with websockets.connect(url) as socket:
        given = json.dumps({"sample_rate": rate, **config})
        await socket.send('{ "config" : %s }' % given)  # noqa: UP031 as it writes it
        for data in pieces(samples, int(rate * 0.2)):
            await socket.send(data)
            found.append(json.loads(await socket.recv()))
        await socket.send('{"eof" : 1}')
        found.append(json.loads(await socket.recv()))
    return found


async def wenet(url: str, samples: np.ndarray, **options: Any) -> list[Any]:
    """As websocket_client.cc and websocket_client_main.cc of wenet-e2e/wenet, without its pauses.

    Half a second a packet; one task sends while another reads up to ``speech_end``, or to a status
    that is not ok.

    Returns:
        All answers.
    """
    found: list[Any] = []

    async def read(socket: websockets.ClientConnection) -> None:
        async for message in socket:
            found.append(json.loads(message))
            if found[-1]["status"] != "ok" or found[-1]["type"] == "speech_end":
                break

    async with websockets.connect(url) as socket:
        reading = asyncio.create_task(read(socket))
        start = {"signal": "start", "nbest": 1, "continuous_decoding": False, **options}
        await socket.send(json.dumps(start, separators=(",", ":")))
        for data in pieces(samples, 8000):
            if reading.done():
                break
            await socket.send(data)
        if not reading.done():
            await socket.send('{"signal":"end"}')
        await reading
    return found


async def funasr(
    url: str, samples: np.ndarray | bytes, rate: int = 16000, **options: Any
) -> list[Any]:
    """As runtime/python/websocket/funasr_wss_client.py of modelscope/FunASR, without its pauses.

    Packets of 60 ms, the subprotocol ``binary``, a task that reads, and after the end a wait for
    ``is_end``, without which the recording has failed.

    Returns:
        All answers.
    """
    found: list[Any] = []
    ended = asyncio.Event()

    async def read(socket: websockets.ClientConnection) -> None:
        async for message in socket:
            found.append(json.loads(message))
            if found[-1].get("is_end"):
                ended.set()

    data = samples if isinstance(samples, bytes) else samples.astype("<i2").tobytes()
    stride = int(60 * 10 / 10 / 1000 * rate * 2)
    start = {
        "mode": "2pass",
        "chunk_size": [5, 10, 5],
        "chunk_interval": 10,
        "encoder_chunk_look_back": 4,
        "decoder_chunk_look_back": 0,
        "audio_fs": rate,
        "wav_name": "demo",
        "wav_format": "pcm",
        "is_speaking": True,
        "hotwords": "",
        "itn": True,
        **options,
    }
    async with websockets.connect(url, subprotocols=["binary"], ping_interval=None) as socket:
        assert socket.subprotocol == "binary"
        reading = asyncio.create_task(read(socket))
        await socket.send(json.dumps(start, ensure_ascii=False))
        for at in range(0, len(data), stride):
            await socket.send(data[at : at + stride])
        await socket.send(json.dumps({"is_speaking": False, "is_end": True}))
        await asyncio.wait_for(ended.wait(), 60)
        await socket.close()
        await reading
    assert found[-1]["is_final"], found[-1]
    return found


def funasr_text(answers: Sequence[Any]) -> str:
    """What the client's message loop prints in the end."""
    text = online = offline = ""
    for item in answers:
        mode = item.get("mode")
        if mode in ("online", "offline"):
            text += item["text"]
        elif mode == "2pass-online":
            online += item["text"]
            text = offline + online
        elif mode is not None:
            online = ""
            offline += item["text"]
            text = offline
    return text


async def closed(url: str, messages: Sequence[str | bytes]) -> tuple[list[Any], Any]:
    """Sends all of it and waits until the server closes.

    Returns:
        All answers, and the close frame.
    """
    found = []
    async with websockets.connect(url) as socket:
        try:
            for message in messages:
                await socket.send(message)
            while True:
                found.append(json.loads(await asyncio.wait_for(socket.recv(), 30)))
        except websockets.ConnectionClosed as error:
            return found, error.rcvd


def streamed(samples: np.ndarray) -> str:
    """What the tiny model that streams makes of it, by itself."""
    recognizer = Recognizer(tiny.describe_streaming(), tiny.streaming_graphs(), threads=1)
    stream = StreamingRecognizer(recognizer).stream("ctc_prefix_beam_search", Endpointing())
    stream.accept(samples)
    return stream.finish().text


def streamed_nbest(samples: np.ndarray) -> list[Hypothesis]:
    """All hypotheses of the tiny model that streams, for one utterance."""
    recognizer = Recognizer(tiny.describe_streaming(), tiny.streaming_graphs(), threads=1)
    stream = StreamingRecognizer(recognizer).stream("ctc_prefix_beam_search", times=True, nbest=100)
    stream.accept(samples)
    stream.finish()
    (segment,) = stream.segments
    return [segment.hypothesis, *(item.hypothesis for item in segment.others)]


def transcribed_nbest(samples: np.ndarray) -> list[Hypothesis]:
    """All hypotheses of the tiny model of whole recordings."""
    return Recognizer(tiny.describe(), tiny.graphs(), threads=1).recognise(samples)[1]


def transcribed(samples: np.ndarray) -> str:
    """What the tiny model of whole recordings makes of it, by itself."""
    return Recognizer(tiny.describe(), tiny.graphs(), threads=1).transcribe(samples).text
