"""Runs an ASGI application until the process is told to stop."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import ssl
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from asrpack.errors import KeyFileError, ToolchainError
from asrpack.runtime.service.context import notes
from asrpack.runtime.service.logs import log
from asrpack.runtime.service.settings import Settings

# From a connection, or the first byte of a later request, to the end of its header.
_HEADER_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 30
# With TLS, to the answer to what ends it.
_GOODBYE_SECONDS = 10.0
# Once the service stops, to a WebSocket's answer to its close frame.
_CLOSE_SECONDS = 1.0
# Once --drain is over, to say so to whom is cut off.
_CUT_OFF_SECONDS = 2.0
_HEADER_BYTES = 1 << 16
_CONNECTIONS = 1000
# Of a WebSocket: half a minute of audio at once.
_MESSAGE_BYTES = 1 << 20
# Of answers to pings that a WebSocket's client does not read.
_UNREAD_BYTES = 1 << 20
# What was sent, or waits to be, and nobody takes for so long: the kernel ends the connection, which
# closing it would not as long as the client lives.
_UNREAD_SECONDS = 60.0


class PatientProtocol(H11Protocol):
    """HTTP/1.1, and no more than :data:`_HEADER_SECONDS` of patience with a header."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The time runs from here."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """It stops once a header is there."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """From here on the connection may be idle for longer."""
        super().on_response_complete()
        self._unwatch()
        if self.transport.is_closing():
            # uvicorn stops reading a body that nobody takes. A client's end that comes meanwhile
            # waits until it is read, with TLS, and the connection is open until then.
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(_HEADER_SECONDS, self._give_up)

    def _give_up(self) -> None:
        log("refused", code="header-slow", seconds=_HEADER_SECONDS)
        self.transport.close()

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class BoundedProtocol(WebSocketsSansIOProtocol):
    """A WebSocket whose client cannot fill memory with answers that it does not read.

    Its conversation ends by itself once the service is told to stop.
    """

    def shutdown(self) -> None:
        """Nobody is waited for long who does not answer a close frame."""
        self.close_timeout = _CLOSE_SECONDS
        if self.close_sent:
            super().shutdown()

    async def send(self, message: Any) -> None:
        """uvicorn takes a handshake that was refused with a body for one that was forgotten."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True

    def handle_ping(self) -> None:
        """Answers; whoever only asks is cut off."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > _UNREAD_BYTES:
            notes(self.scope)["code"] = "client-stalled"  # type: ignore[arg-type]
            self.transport.abort()


def bind(settings: Settings) -> socket.socket:
    """The socket to listen on; nobody can connect yet.

    Raises:
        ToolchainError: the address cannot be used.
    """
    place = f"{settings.host}:{settings.port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * _UNREAD_SECONDS)
            )
        sock.bind(address)
    except OSError as error:
        raise ToolchainError(
            f"cannot listen there: {error.strerror}",
            code="listen",
            place=place,
            remedy="choose another --host or --port, or stop what listens on this one",
        ) from None
    return sock


def check_tls(settings: Settings) -> None:
    """Reads the TLS files: what is wrong with them is told before a model is loaded.

    Raises:
        KeyFileError: the certificate or its key cannot be used.
    """
    if settings.tls_certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_certificate, settings.tls_key, password=""
        )
    except (OSError, ValueError) as error:
        raise KeyFileError(
            f"the TLS certificate or its key cannot be used: {error}",
            code="tls",
            place=f"{settings.tls_certificate}, {settings.tls_key}",
            remedy="give PEM files: the certificate with its chain, and its key, unencrypted",
        ) from None


class Server(uvicorn.Server):
    """Listens with times for TLS, which uvicorn has no options for, and tells that it stops."""

    def __init__(self, config: uvicorn.Config, draining: asyncio.Event) -> None:
        super().__init__(config)
        self._draining = draining

    async def startup(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Listens."""
        config, loop = self.config, asyncio.get_running_loop()
        secure = config.ssl is not None
        self.servers = [
            await loop.create_server(
                partial(PatientProtocol, config, self.server_state, {}),
                sock=sock,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=_HEADER_SECONDS if secure else None,
                ssl_shutdown_timeout=_GOODBYE_SECONDS if secure else None,
            )
            for sock in sockets or ()
        ]
        self.started = True

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        """Waits for what is under way; who is cut off at last is told."""
        self._draining.set()
        await super().shutdown(list(sockets or ()))
        end = time.monotonic() + _CUT_OFF_SECONDS
        while self.server_state.tasks or self.server_state.connections:
            if self.force_exit or time.monotonic() > end:
                break
            await asyncio.sleep(0.05)


def run(app: ASGIApp, settings: Settings, sock: socket.socket, draining: asyncio.Event) -> None:
    """Serves until SIGTERM or SIGINT, then lets what is under way come to its end.

    Args:
        draining: set when that begins.
    """
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws=BoundedProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        ws_max_size=_MESSAGE_BYTES,
        # A client's answer to a ping waits behind what it sent and is not taken yet. That a ping
        # arrives is enough: see _UNREAD_SECONDS.
        ws_ping_timeout=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.drain),
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    # uvicorn raises the signals again once it is done, for whoever ran it: nobody here.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Server(config, draining).run(sockets=[sock])
