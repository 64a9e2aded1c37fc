"""What the WebSocket protocols share: messages in turn, and an end that says why."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, suppress
from typing import Any, ClassVar

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from asrpack.errors import AsrpackError
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.engine import draining
from asrpack.runtime.service.errors import RequestError, error_body, internal, status_of
from asrpack.runtime.service.incoming import Incoming

# A client that sends nothing for so long is cut off.
_IDLE_SECONDS = 30.0
# Of a close frame's reason, in bytes (RFC 6455, 5.5).
_REASON = 123
# Where the service ends it (RFC 6455, 7.4.1, and its registry): it restarts, or is at fault.
_CLOSE = {"draining": 1012, "internal": 1011}


class Conversation:
    """One WebSocket. A protocol says what its messages mean.

    Attributes:
        ENDING: how a client ends its stream.
        incoming: its messages.
    """

    ENDING: ClassVar[str]
    _stream: object | None = None

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
        """Until the client ends or leaves it, breaks the protocol, or the service stops."""
        offered = self.socket.scope["subprotocols"]
        try:
            await self.socket.accept(subprotocol="binary" if "binary" in offered else None)
            async with self.stack:
                while await self._turn():
                    pass
            with suppress(WebSocketDisconnect):  # a client that has all of it may have left
                await self.socket.close()
        except WebSocketDisconnect as left:
            found = notes(self.socket.scope)
            found.setdefault("code", "client-gone")
            found["close"] = left.code
        except AsrpackError as error:
            await self._fail(error)
        except asyncio.CancelledError:  # --drain is over
            await self._fail(draining())
        except Exception:
            await self._fail(internal(notes(self.socket.scope)["id"]))
            raise

    @property
    def streaming(self) -> bool:
        """Whether a stream is under way."""
        return self._stream is not None

    async def _fail(self, error: AsrpackError) -> None:
        notes(self.socket.scope)["code"] = error.code
        with suppress(WebSocketDisconnect):
            if (failure := self.failure(error)) is not None:
                await self.socket.send_json(failure)
            code = 1013 if status_of(error) == 429 else _CLOSE.get(error.code, 1008)
            await self.socket.close(code, _reason(error))

    async def _turn(self) -> bool:
        message = await self._next()
        if message.get("text") is not None:
            return await self.text(message["text"])
        return await self.audio(message.get("bytes") or b"")

    async def _next(self) -> Message:
        """The next message. Once the service stops, only that of a stream under way."""
        coming = asyncio.ensure_future(self.incoming.next())
        waited: list[asyncio.Future[Any]] = [coming]
        if not self.streaming:
            waited.append(asyncio.ensure_future(self.service.draining.wait()))
        try:
            await asyncio.wait(waited, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            message = coming.result() if coming.done() else None
        finally:
            for item in waited:
                item.cancel()
        if self.service.draining.is_set() and not self.streaming:
            raise draining()
        if message is None:
            raise RequestError(
                f"nothing came for {_IDLE_SECONDS:.0f} s",
                code="stream-idle",
                remedy=f"end a stream with {self.ENDING}",
            )
        return message


def json_object(text: str) -> dict[str, Any]:
    """The object that a message holds; an empty one where it holds none.

    Raises:
        RequestError: it has text that cannot be sent back.
    """
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError(
            "the message has one half of a surrogate pair",
            code="message",
            remedy="send both halves, or the character itself in UTF-8",
        ) from None
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
