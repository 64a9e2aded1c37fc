"""Services that answer the n-th request by the n-th line of a script, then by its last."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

HttpLine = Callable[[BaseHTTPRequestHandler], None]
SocketLine = Callable[[ServerConnection], None]


def says(status: int, body: bytes, **headers: str) -> HttpLine:
    """An answer."""

    def line(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return line


def text(value: str) -> HttpLine:
    """OpenAI's."""
    return says(200, json.dumps({"text": value}).encode())


def after(seconds: float, then: HttpLine) -> HttpLine:
    """Late."""

    def line(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        then(handler)

    return line


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    """The connection is lost."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def http_service(*lines: HttpLine) -> Iterator[str]:
    """Its URL."""
    turns = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            lines[min(next(turns), len(lines) - 1)](self)

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def vosk_answers(value: str) -> SocketLine:
    """As Vosk's server does: each message but the first with one."""

    def line(connection: ServerConnection) -> None:
        for message in connection:
            if isinstance(message, bytes):
                connection.send('{"partial" : "so far"}')
            elif "eof" in message:
                connection.send(json.dumps({"text": value}))
                return

    return line


def sends(*messages: Any, then: Callable[[ServerConnection], None] | None = None) -> SocketLine:
    """The same whatever comes."""

    def line(connection: ServerConnection) -> None:
        connection.recv()
        for message in messages:
            connection.send(message)
        if then is not None:
            then(connection)

    return line


def listens(connection: ServerConnection) -> None:
    """And says nothing."""
    for _ in connection:
        pass


@contextmanager
def socket_service(*lines: SocketLine) -> Iterator[str]:
    """Its URL."""
    turns = count()

    def handle(connection: ServerConnection) -> None:
        try:
            lines[min(next(turns), len(lines) - 1)](connection)
        except ConnectionClosed:
            pass

    with serve(handle, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
