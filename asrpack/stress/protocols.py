"""The protocols by name."""

from __future__ import annotations

from asrpack.stress.http_client import HttpProtocol, OpenAi, PaddleSpeech
from asrpack.stress.stream_client import StreamProtocol
from asrpack.stress.stream_protocols import (
    Dialogue,
    FunAsrStream,
    PaddleSpeechStream,
    VoskStream,
    WenetStream,
)

Protocol = HttpProtocol | StreamProtocol
_STREAMS: dict[str, type[Dialogue]] = {
    "paddlespeech-stream": PaddleSpeechStream,
    "wenet": WenetStream,
    "funasr": FunAsrStream,
    "vosk": VoskStream,
}
NAMES = ("openai", "paddlespeech", *_STREAMS)


def protocol_of(name: str, model: str) -> Protocol:
    """One of :data:`NAMES`; ``model`` is sent where the protocol has a place for it."""
    if name in _STREAMS:
        return StreamProtocol(_STREAMS[name])
    return PaddleSpeech() if name == "paddlespeech" else OpenAi(model)
