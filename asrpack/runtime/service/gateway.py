"""What every request passes: an id, the API key, one line in the log, and an end in time."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.errors import RequestError, error_response
from asrpack.runtime.service.logs import log
from asrpack.runtime.service.page import PAGE_PATHS

# What monitors ask, and the page itself: without a key.
OPEN = frozenset({"/health", "/ready", "/metrics"}) | PAGE_PATHS
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
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        began = time.monotonic()
        try:
            if self._allowed(scope):
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await self._refuse(scope, exchange)
        except asyncio.CancelledError:
            exchange.status = exchange.status or 499
            raise
        except ConnectionError as error:
            notes(scope)["code"] = str(error)
        except Exception as error:
            exchange.status = exchange.status or 500
            log("failed", logging.ERROR, error, id=exchange.id)
        finally:
            self._note(scope, exchange, time.monotonic() - began)

    def _allowed(self, scope: Scope) -> bool:
        if scope["type"] == "websocket" and not self._own_page(Headers(scope=scope)):
            notes(scope)["code"] = "origin"
            return False
        keys = self._service.keys
        if keys is None or _open(scope) or scope.get("method") == "OPTIONS":
            return True
        authorization = Headers(scope=scope).get("authorization")
        return keys.allow(authorization, scope.get("subprotocols", ()))

    def _own_page(self, headers: Headers) -> bool:
        """No other origin's page opens a WebSocket: browsers tell its origin, and ask nobody."""
        origin, cors = headers.get("origin"), self._service.settings.cors
        if origin is None or "*" in cors or origin in cors:
            return True
        return urlsplit(origin).netloc == headers.get("host")

    async def _refuse(self, scope: Scope, exchange: _Exchange) -> None:
        if scope["type"] == "websocket":
            await exchange.send({"type": "websocket.close", "code": 1008})
            return
        error = RequestError(
            "the API key is missing or not one of this service",
            code="api-key",
            remedy="send it as `Authorization: Bearer KEY`",
        )
        await error_response(error, exchange.id)(scope, exchange.receive, exchange.send)

    def _note(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        path, status = scope["path"], exchange.status or 499
        self._service.metrics.answered(path if path in self._paths else "other", status, seconds)
        quiet = _open(scope) and status < 400
        log(
            "request",
            logging.DEBUG if quiet else logging.INFO,
            method=scope.get("method", "WEBSOCKET"),
            path=path[:_LONGEST_PATH],
            status=status,
            seconds=round(seconds, 4),
            **notes(scope),
        )


def _open(scope: Scope) -> bool:
    """Not a WebSocket, of which there is one at the page's path."""
    return scope["type"] == "http" and scope["path"] in OPEN


class _Exchange:
    """One request and its answer.

    Attributes:
        id: the client's ``X-Request-ID`` if it is a plain one.
        status: of the answer, once it has begun; 101 of an accepted WebSocket.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        notes(scope)["id"] = self.id
        self.status: int | None = None
        self._receive, self._send, self._stalled = receive, send, False
        # Of a WebSocket, and of most requests but uploads, there is no body.
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            if self._unread:  # else the server would read all that is still sent, and drop it
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
        if self._stalled:
            raise ConnectionError("client-stalled")

    async def _linger(self) -> None:
        left = _LINGER_BYTES
        while self._unread and left > 0:
            left -= len((await self.receive()).get("body", b""))
