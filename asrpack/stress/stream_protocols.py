"""Protocols of WebSockets, as their own clients speak them: what is sent, and what answers mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from asrpack.stress.answers import FailedError
from asrpack.stress.recordings import RATE


@dataclass(frozen=True)
class Heard:
    """What a message says.

    Attributes:
        text: recognised so far, or of this part.
        ready: the service waits for audio.
        final: all of the text; with it the recording ends.
    """

    text: str = ""
    ready: bool = False
    final: str | None = None


class Dialogue:
    """One recording. Answers are read while audio is sent.

    Args:
        packets: how many will be sent.

    Attributes:
        PATH: where, if the URL does not say it.
        PACKET: seconds of audio of the protocol's own client.
        READY: whether audio waits for the service's word.
        START, END: what is sent before and after the audio; START may be None.
        ended: END was sent.
    """

    PATH: ClassVar[str]
    PACKET: ClassVar[float]
    READY: ClassVar[bool] = False
    SUBPROTOCOLS: ClassVar[Sequence[str]] = ()
    START: ClassVar[dict[str, Any] | None] = None
    END: ClassVar[str]

    def __init__(self, packets: int) -> None:
        self.packets = packets
        self.ended = False
        self.said: list[str] = []

    def heard(self, message: Any) -> Heard:
        """Of a JSON object.

        Raises:
            FailedError: the service says that it failed.
            LookupError, TypeError, ValueError: it is no message of the protocol.
        """
        raise NotImplementedError

    def whole(self) -> str:
        """All utterances; texts are compared without blanks."""
        return " ".join(filter(None, self.said))


class PaddleSpeechStream(Dialogue):
    """After paddlespeech/server/utils/audio_handler.py: packets of 85 ms."""

    PATH = "/paddlespeech/asr/streaming"
    PACKET = 0.085
    READY = True
    START: ClassVar = {"name": "test.wav", "signal": "start", "nbest": 1}
    END = json.dumps({"name": "test.wav", "signal": "end", "nbest": 1})

    def heard(self, message: Any) -> Heard:
        if message.get("status", "ok") != "ok":
            raise FailedError("protocol", str(message.get("message", message)))
        if message.get("signal") == "server_ready":
            return Heard(ready=True)
        text = _text(message["result"])
        return Heard(text, final=text if message.get("signal") == "finished" else None)


class WenetStream(Dialogue):
    """After runtime/core/bin/websocket_client_main.cc: packets of half a second."""

    PATH = "/wenet"
    PACKET = 0.5
    READY = True
    START: ClassVar = {"signal": "start", "nbest": 1, "continuous_decoding": True}
    END = json.dumps({"signal": "end"})

    def heard(self, message: Any) -> Heard:
        if message["status"] != "ok":
            raise FailedError("protocol", str(message.get("message", message)))
        kind = message["type"]
        if kind == "server_ready":
            return Heard(ready=True)
        if kind == "speech_end":
            return Heard(final=self.whole())
        text = _text(json.loads(message["nbest"])[0]["sentence"])
        if kind == "final_result":
            self.said.append(text)
        return Heard(text)


class FunAsrStream(Dialogue):
    """After runtime/python/websocket/funasr_wss_client.py in its mode ``2pass``: 60 ms."""

    PATH = "/funasr"
    PACKET = 0.06
    SUBPROTOCOLS = ("binary",)
    START: ClassVar = {
        "mode": "2pass",
        "chunk_size": [5, 10, 5],
        "chunk_interval": 10,
        "encoder_chunk_look_back": 4,
        "decoder_chunk_look_back": 0,
        "audio_fs": RATE,
        "wav_name": "demo",
        "wav_format": "pcm",
        "is_speaking": True,
        "hotwords": "",
        "itn": True,
    }
    END = json.dumps({"is_speaking": False})

    def heard(self, message: Any) -> Heard:
        if "error" in message:
            raise FailedError("protocol", str(message["error"]))
        text = _text(message["text"])
        if message["mode"] == "2pass-online":
            return Heard(text)
        self.said.append(text)
        done = self.ended and message["is_final"]
        return Heard(text, final=self.whole() if done else None)


class VoskStream(Dialogue):
    """After websocket/test.py of alphacep/vosk-server: 0.2 s, each answered with one message."""

    PATH = "/vosk"
    PACKET = 0.2
    START: ClassVar = {"config": {"sample_rate": RATE}}
    END = '{"eof" : 1}'

    def __init__(self, packets: int) -> None:
        super().__init__(packets)
        self._left = packets + 1

    def heard(self, message: Any) -> Heard:
        self._left -= 1
        if "partial" in message:
            return Heard(_text(message["partial"]))
        text = _text(message["text"])
        self.said.append(text)
        return Heard(text, final=None if self._left else self.whole())


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no text: {value!r}")
    return value
