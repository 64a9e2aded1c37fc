"""A client that speaks into a WebSocket and reads what comes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from websockets import Subprotocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from asrpack.stress.answers import (
    Answer,
    FailedError,
    RefusedError,
    not_connected,
    status_error,
)
from asrpack.stress.recordings import RATE, Sound
from asrpack.stress.stream_protocols import Dialogue, Heard
from asrpack.stress.target import Target

_TRY_AGAIN_LATER = 1013
# For a service to close after it said that it failed, and to answer a close.
_CLOSE_SECONDS = 2.0


class StreamProtocol:
    """One of the WebSocket protocols."""

    streams: ClassVar[bool] = True

    def __init__(self, kind: type[Dialogue]) -> None:
        self._kind = kind
        self.path = kind.PATH

    def prepare(self, path: Path, pcm: bytes) -> bytes:
        """The samples alone."""
        return pcm

    def client(self, target: Target) -> StreamClient:
        """One that has a connection for each recording."""
        return StreamClient(self._kind, target)


class StreamClient:
    """One client."""

    def __init__(self, kind: type[Dialogue], target: Target) -> None:
        self._kind, self._target = kind, target

    async def recognise(self, sound: Sound) -> Answer:
        """One recording's text.

        Raises:
            RefusedError: closed with 1013, or no connection with 429.
            FailedError: anything else that is no text.
        """
        target, socket = self._target, None
        limit = target.timeout + target.pace * sound.seconds
        try:
            async with asyncio.timeout(limit):
                socket = await self._connect()
                return await self._converse(socket, sound)
        except TimeoutError:
            raise FailedError("timeout", f"no final text within {limit:.1f} s") from None
        except ConnectionClosed as error:
            raise _closed(error) from None
        finally:
            if socket is not None:
                await socket.close()

    async def close(self) -> None:
        """Nothing is kept from recording to recording."""

    async def _connect(self) -> ClientConnection:
        target = self._target
        try:
            return await connect(
                target.url,
                ssl=target.tls,
                additional_headers=target.headers,
                subprotocols=[Subprotocol(name) for name in self._kind.SUBPROTOCOLS] or None,
                compression=None,  # samples do not get smaller by it
                proxy=None,
                open_timeout=None,  # one for all of the recording is around it
                ping_interval=None,
                close_timeout=_CLOSE_SECONDS,
            )
        except InvalidStatus as error:
            found = error.response
            after = found.headers.get("retry-after")
            raise status_error(found.status_code, after, bytes(found.body or b"")) from None
        except InvalidHandshake as error:
            raise FailedError("protocol", str(error)) from None
        except OSError as error:
            raise not_connected(error) from None
        except EOFError as error:
            raise FailedError("connection", str(error)) from None

    async def _converse(self, socket: ClientConnection, sound: Sound) -> Answer:
        size = 2 * round(self._kind.PACKET * RATE)
        packets = [sound.body[at : at + size] for at in range(0, len(sound.body), size)]
        dialogue = self._kind(len(packets))
        if dialogue.START is not None:
            await socket.send(json.dumps(dialogue.START))
        if dialogue.READY and not (await _hear(socket, dialogue)).ready:
            raise FailedError("protocol", "text before the service was ready")
        began, first = time.perf_counter(), None
        sending = asyncio.create_task(self._speak(socket, dialogue, packets, began))
        try:
            while (heard := await _hear(socket, dialogue)).final is None:
                if heard.text and first is None:
                    first = time.perf_counter() - began
            now = time.perf_counter()
            if not dialogue.ended:
                raise FailedError("protocol", "the final text came before all audio was sent")
            if heard.final and first is None:
                first = now - began
            return Answer(heard.final, first, now - await sending)
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    async def _speak(
        self,
        socket: ClientConnection,
        dialogue: Dialogue,
        packets: Sequence[bytes],
        began: float,
    ) -> float:
        """Sends all audio at its pace, as a microphone does: whatever the service answers.

        Returns:
            When the last of it was sent.
        """
        for number, packet in enumerate(packets):
            due = began + number * dialogue.PACKET * self._target.pace
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await socket.send(packet)
        last = time.perf_counter()
        dialogue.ended = True
        await socket.send(dialogue.END)
        return last


async def _hear(socket: ClientConnection, dialogue: Dialogue) -> Heard:
    message = await socket.recv()
    try:
        return dialogue.heard(json.loads(message))
    except FailedError as error:
        # The close that follows tells whether it was for want of room.
        with suppress(TimeoutError):
            await asyncio.wait_for(_until_closed(socket, error), _CLOSE_SECONDS)
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        shown = (
            message[:100] if isinstance(message, str) else message[:100].decode(errors="replace")
        )
        raise FailedError("protocol", f"no message of this protocol: {shown}") from None


async def _until_closed(socket: ClientConnection, failed: FailedError) -> None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed as error:
        found = _closed(error)
        raise found if isinstance(found, RefusedError) else failed from None


def _closed(error: ConnectionClosed) -> FailedError | RefusedError:
    if error.rcvd is None:
        return FailedError("connection", "lost without a close")
    if error.rcvd.code == _TRY_AGAIN_LATER:
        return RefusedError(str(_TRY_AGAIN_LATER))
    return FailedError(f"closed {error.rcvd.code}", error.rcvd.reason)
