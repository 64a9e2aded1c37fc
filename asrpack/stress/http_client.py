"""Protocols of one request and one answer: OpenAI's and PaddleSpeech's."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from pathlib import Path
from typing import Any, ClassVar

import httpx

from asrpack.stress.answers import Answer, FailedError, not_connected, status_error
from asrpack.stress.recordings import RATE, Sound
from asrpack.stress.target import Target

# No text is longer; what is, is no text.
_MOST_BYTES = 1 << 24


class HttpProtocol:
    """How a recording is asked for.

    Attributes:
        path: where, if the URL does not say it.
        content_type: of what is sent.
        streams: whether audio is sent while it is spoken.
    """

    streams: ClassVar[bool] = False
    path: ClassVar[str]
    content_type: str

    def prepare(self, path: Path, pcm: bytes) -> bytes:
        """A request's body: of the file as it is."""
        raise NotImplementedError

    def text(self, answer: Any) -> Any:
        """Of JSON; what it raises on is no answer."""
        raise NotImplementedError

    def client(self, target: Target) -> HttpClient:
        """Of connections of its own."""
        return HttpClient(self, target)


class OpenAi(HttpProtocol):
    """``POST /v1/audio/transcriptions``: a form with a file.

    Args:
        model: as the service calls it.
    """

    path = "/v1/audio/transcriptions"

    def __init__(self, model: str) -> None:
        self._model = model
        self.content_type = f"multipart/form-data; boundary={secrets.token_hex(16)}"

    def prepare(self, path: Path, pcm: bytes) -> bytes:
        # Its ending tells some services the format; the rest of a name is nobody's business.
        file = (f"audio{path.suffix}", path.read_bytes(), "application/octet-stream")
        form = httpx.Request(
            "POST",
            "http://service",  # where it goes is not in it
            headers={"content-type": self.content_type},
            data={"model": self._model, "response_format": "json"},
            files={"file": file},
        )
        return form.read()

    def text(self, answer: Any) -> Any:
        return answer["text"]


class PaddleSpeech(HttpProtocol):
    """``POST /paddlespeech/asr``: a file in JSON."""

    path = "/paddlespeech/asr"
    content_type = "application/json"

    def prepare(self, path: Path, pcm: bytes) -> bytes:
        fields = {
            "audio": base64.b64encode(path.read_bytes()).decode(),
            "audio_format": path.suffix[1:],
            "sample_rate": RATE,
            "lang": "zh_cn",
            "punc": False,
        }
        return json.dumps(fields).encode()

    def text(self, answer: Any) -> Any:
        return answer["result"]["transcription"]


class HttpClient:
    """One client; its connection is kept from request to request."""

    def __init__(self, protocol: HttpProtocol, target: Target) -> None:
        self._protocol, self._target = protocol, target
        self._http = httpx.AsyncClient(
            verify=target.tls or False,  # without a context there is no TLS, and no redirect
            headers={**target.headers, "content-type": protocol.content_type},
            timeout=None,  # one for all of the request is around it
            trust_env=False,
        )

    async def recognise(self, sound: Sound) -> Answer:
        """One recording's text.

        Raises:
            RefusedError: with 429.
            FailedError: anything else that is no text.
        """
        try:
            async with asyncio.timeout(self._target.timeout):
                status, headers, body = await self._ask(sound)
        except TimeoutError:
            limit = f"no answer within {self._target.timeout:g} s"
            raise FailedError("timeout", limit) from None
        except httpx.ConnectError as error:
            raise not_connected(error) from None
        except httpx.HTTPError as error:
            raise FailedError("connection", f"{type(error).__name__} {error}") from None
        if status != 200:
            raise status_error(status, headers.get("retry-after"), body)
        try:
            text = self._protocol.text(json.loads(body))
        except (ValueError, LookupError, TypeError, RecursionError):
            text = None
        if not isinstance(text, str):
            raise FailedError("protocol", f"no text: {body[:100].decode(errors='replace')}")
        return Answer(text)

    async def _ask(self, sound: Sound) -> tuple[int, httpx.Headers, bytes]:
        async with self._http.stream("POST", self._target.url, content=sound.body) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    raise FailedError("protocol", f"over {_MOST_BYTES} bytes of an answer")
            return response.status_code, response.headers, bytes(body)

    async def close(self) -> None:
        """Ends its connection."""
        await self._http.aclose()
