"""What every request passes: an id, one line in the log, and an end in time."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asrpack.runtime.service.admission import is_open
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.engine import draining
from asrpack.runtime.service.errors import error_response
from asrpack.runtime.service.logs import log

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_PATH = 200
# A client that reads nothing for so long is cut off.
_SEND_SECONDS = 30.0
# So much of a body that was refused is read on: a connection that is closed while the client still
# sends is reset, and then the client may never see why.
_LINGER_SECONDS, _LINGER_BYTES = 2.0, 1 << 26


class Gateway:
    """Around the application; the outermost layer."""

    def __init__(self, app: ASGIApp, service: Service, paths: frozenset[str]) -> None:
        self._app = app
        self._service = service
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(scope, receive, send, self._service)
        began = time.monotonic()
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:  # --drain is over
            await self._cut_off(scope, exchange)
        except _StalledError:
            pass  # noted already
        except Exception as error:
            exchange.status = exchange.status or 500
            log("failed", logging.ERROR, error, id=exchange.id)
        finally:
            self._note(scope, exchange, time.monotonic() - began)

    async def _cut_off(self, scope: Scope, exchange: _Exchange) -> None:
        error = draining()
        notes(scope)["code"] = error.code
        if exchange.status is None:
            response = error_response(error, exchange.id)
            await response(scope, exchange.receive, exchange.send)

    def _note(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        path, status = scope["path"], exchange.status or 499
        self._service.metrics.answered(path if path in self._paths else "other", status, seconds)
        quiet = is_open(scope) and status < 400
        log(
            "request",
            logging.DEBUG if quiet else logging.INFO,
            method=scope.get("method", "WEBSOCKET"),
            path=path[:_LONGEST_PATH],
            status=status,
            seconds=round(seconds, 4),
            **notes(scope),
        )


class _StalledError(ConnectionError):
    """A client that reads nothing; an error of the connection, as the WebSockets expect one."""


class _Exchange:
    """One request and its answer.

    Attributes:
        id: the client's ``X-Request-ID`` if it is a plain one.
        status: of the answer, once it has begun; 101 of an accepted WebSocket.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, service: Service) -> None:
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        self._notes = notes(scope)
        self._notes["id"] = self.id
        self.status: int | None = None
        self._receive, self._send, self._stalled = receive, send, False
        self._draining = service.draining
        # Of a WebSocket, and of most requests but uploads, there is no body.
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            # Else the server would read all that is still sent of a body, and drop it.
            if self._unread or self._draining.is_set():
                headers["connection"] = "close"
        elif message["type"] == "websocket.accept":
            self.status = 101
        elif message["type"] == "websocket.close" and self.status is None:
            self.status = 403
        last = message["type"] == "http.response.body" and not message.get("more_body")
        if last and self._unread:
            await self._deliver({**message, "more_body": True})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._linger(), _LINGER_SECONDS)
            message = {"type": "http.response.body", "body": b""}
        await self._deliver(message)

    async def _deliver(self, message: Message) -> None:
        try:
            if not self._stalled:  # nor is it told what went wrong
                await asyncio.wait_for(self._send(message), _SEND_SECONDS)
        except TimeoutError:
            self._stalled = True
            self._notes["code"] = "client-stalled"
        if self._stalled:
            raise _StalledError

    async def _linger(self) -> None:
        left = _LINGER_BYTES
        while self._unread and left > 0:
            left -= len((await self.receive()).get("body", b""))
