"""What the WebSocket protocols share: messages in turn, and an end that says why."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import Any, ClassVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from asrpack.errors import AsrpackError
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.errors import RequestError, error_body, status_of
from asrpack.runtime.service.incoming import Incoming

# A client that sends nothing for so long is cut off.
_IDLE_SECONDS = 30.0
# Of a close frame's reason, in bytes (RFC 6455, 5.5).
_REASON = 123


class Conversation:
    """One WebSocket. A protocol says what its messages mean.

    Attributes:
        ENDING: how a client ends its stream.
        incoming: its messages.
    """

    ENDING: ClassVar[str]

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self.service, self.socket = service, socket
        self.incoming = Incoming(socket)
        self.stack = AsyncExitStack()

    async def text(self, message: str) -> bool:
        """Answers a text message; False at the end."""
        raise NotImplementedError

    async def audio(self, pcm: bytes) -> bool:
        """Answers a binary message; False at the end."""
        raise NotImplementedError

    def failure(self, error: AsrpackError) -> dict[str, Any] | None:
        """What is sent of a failure before the socket is closed; None: the close says it."""
        return None

    async def run(self) -> None:
        """Until the client ends or leaves it, or breaks the protocol."""
        offered = self.socket.scope["subprotocols"]
        await self.socket.accept(subprotocol="binary" if "binary" in offered else None)
        try:
            async with self.stack:
                while await self._turn():
                    pass
            await self.socket.close()
        except WebSocketDisconnect as left:
            found = notes(self.socket.scope)
            found.setdefault("code", "client-gone")
            found["close"] = left.code
        except AsrpackError as error:
            notes(self.socket.scope)["code"] = error.code
            with suppress(WebSocketDisconnect):
                if (failure := self.failure(error)) is not None:
                    await self.socket.send_json(failure)
                code = 1013 if status_of(error) == 429 else 1008
                await self.socket.close(code, _reason(error))

    async def _turn(self) -> bool:
        try:
            message = await asyncio.wait_for(self.incoming.next(), _IDLE_SECONDS)
        except TimeoutError:
            raise RequestError(
                f"nothing came for {_IDLE_SECONDS:.0f} s",
                code="stream-idle",
                remedy=f"end a stream with {self.ENDING}",
            ) from None
        if message.get("text") is not None:
            return await self.text(message["text"])
        return await self.audio(message.get("bytes") or b"")


def json_object(text: str) -> dict[str, Any]:
    """The object that a message holds; an empty one where it holds none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def told(error: AsrpackError) -> str:
    """A failure and what to do about it."""
    message: str = error_body(error, "")["error"]["message"]
    return message


def _reason(error: AsrpackError) -> str:
    """As much of it as a close frame holds: what to do, before what is wrong."""
    whole = told(error)
    if len(whole.encode()) > _REASON and error.remedy:
        whole = error.remedy
    return whole.encode()[:_REASON].decode(errors="ignore")
