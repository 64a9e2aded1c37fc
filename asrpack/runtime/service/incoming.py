"""A WebSocket's messages, and whether its client is still there."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

T = TypeVar("T")
# So much is read on while a client waits for its text; one that sends more is not read further, and
# that it left is noticed afterwards.
_AHEAD_BYTES = 1 << 20


class Incoming:
    """Messages in the order in which they came. One call at a time."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._ahead: deque[Message] = deque()

    async def next(self) -> Message:
        """The next message.

        Raises:
            WebSocketDisconnect: the client left.
        """
        return self._ahead.popleft() if self._ahead else await self._receive()

    async def while_connected(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work that a client waits for; drops it when the client leaves.

        Raises:
            WebSocketDisconnect: it left.
        """
        task, reading = asyncio.ensure_future(work), asyncio.ensure_future(self._read_ahead())
        try:
            await asyncio.wait({task, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                reading.result()  # raises where the client left
            return await task
        finally:
            for item in (task, reading):
                item.cancel()
            await asyncio.gather(task, reading, return_exceptions=True)

    async def _read_ahead(self) -> None:
        held = 0
        while held < _AHEAD_BYTES:
            message = await self._receive()
            held += len(message.get("bytes") or message.get("text") or "")
            self._ahead.append(message)

    async def _receive(self) -> Message:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        return message
