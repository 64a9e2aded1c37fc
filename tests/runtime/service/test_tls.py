"""Connections with TLS: none stays open when it is over, and browsers may read why it is."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, running, upload
from tests.runtime.service.test_server import PATH, certificate, command, environment

ORIGIN = "https://app.example"
KEY = {"authorization": "Bearer 0123456789abcdef"}


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``tls.pem`` and ``tls.key``."""
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder)
    return folder


@pytest.fixture(scope="module")
def server(sealed_once: Sealed, trusted: Path) -> Iterator[Running]:
    (trusted / "keys").write_text("0123456789abcdef\n")
    more = [
        *("--api-keys", str(trusted / "keys"), "--cors", ORIGIN, "--max-body", "1"),
        *("--tls-certificate", str(trusted / "tls.pem"), "--tls-key", str(trusted / "tls.key")),
    ]
    start = command(sealed_once, *more)
    with running(start, trusted / "log", environment(sealed_once)) as found:
        yield found


@pytest.fixture(scope="module")
def context(trusted: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=trusted / "tls.pem")


def connect(server: Running, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(server.connect(), server_hostname="127.0.0.1")


def wait_for_files(server: Running, context: ssl.SSLContext, most: float, seconds: float) -> None:
    """Until the server has no more files open."""
    deadline = time.monotonic() + seconds
    while server.gauge("process_open_fds", verify=context) > most:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def parts() -> Iterator[bytes]:
    """Of a form of unknown length, far over what is allowed."""
    yield upload(0)[1]
    for _ in range(40):
        yield bytes(100_000)


REFUSED = {
    "without a key": ({"content-length": "3000000"}, 401),
    "announced": ({**KEY, "content-length": "3000000"}, 413),
    "of unknown length": (KEY, 413),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_upload_leaves_no_connection(
    server: Running, context: ssl.SSLContext, case: str
) -> None:
    given, status = REFUSED[case]
    headers = {**given, "content-type": "multipart/form-data; boundary=b"}
    content = bytes(3_000_000) if "content-length" in given else None
    files = server.gauge("process_open_fds", verify=context)
    for _ in range(15):
        with httpx.Client(verify=context) as http:
            try:
                found = http.post(server.url + PATH, content=content or parts(), headers=headers)
            except httpx.TransportError:  # the answer came while it still sent
                continue
            assert found.status_code == status
    wait_for_files(server, context, files + 2, 30)
    assert server.logged(status=status, path=PATH)


@pytest.mark.slow
def test_clients_that_do_nothing_are_not_waited_for(
    server: Running, context: ssl.SSLContext
) -> None:
    """No handshake for 10 s; and 30 s of idleness, of one that does not answer the end either."""
    files = server.gauge("process_open_fds", verify=context)
    silent = [server.connect() for _ in range(5)]
    idle = [connect(server, context) for _ in range(5)]
    for connection in idle:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
    wait_for_files(server, context, files + len(idle), 30)
    wait_for_files(server, context, files, 52)
    for connection in (*silent, *idle):
        connection.close()


def test_who_may_read_that_the_key_is_wrong(server: Running, context: ssl.SSLContext) -> None:
    with httpx.Client(verify=context) as http:
        found = http.post(server.url + PATH, headers={"origin": ORIGIN})
        assert found.status_code == 401
        assert found.headers["access-control-allow-origin"] == ORIGIN
        assert "x-request-id" in found.headers["access-control-expose-headers"]
        asked = {"access-control-request-method": "POST", "origin": ORIGIN}
        assert http.options(server.url + PATH, headers=asked).status_code == 200
        found = http.post(server.url + PATH, headers={"origin": "https://elsewhere.example"})
        assert found.status_code == 401
        assert "access-control-allow-origin" not in found.headers
    assert server.logged(code="api-key", status=401)
