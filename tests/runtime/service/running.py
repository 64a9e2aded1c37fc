"""A real server process, and clients that misbehave."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx


class Running:
    """A service that has started.

    Attributes:
        url: without a slash at the end.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log
        deadline = time.monotonic() + 120
        while not (started := [line for line in self.lines() if line["event"] == "started"]):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        self.url: str = started[0]["url"]
        self.port = int(self.url.rpartition(":")[2])

    def lines(self) -> list[dict[str, Any]]:
        """Of its log. ONNX Runtime has a line of its own for a graph that takes no batch."""
        whole = self._log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def logged(self, **fields: object) -> list[dict[str, Any]]:
        """Lines with these, waited for."""
        deadline = time.monotonic() + 30
        while True:
            found = [line for line in self.lines() if fields.items() <= line.items()]
            if found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def gauge(self, name: str, **options: Any) -> float:
        """From ``/metrics``: the first whose line begins so; ``options`` of ``httpx.get``."""
        return self._metrics(name, **options)[0]

    def total(self, name: str) -> float:
        """From ``/metrics``: all whose lines begin so; 0 for none."""
        return sum(self._metrics(name))

    def _metrics(self, name: str, **options: Any) -> list[float]:
        lines = httpx.get(f"{self.url}/metrics", timeout=60, **options).text.splitlines()
        return [float(line.split()[-1]) for line in lines if line.startswith(name)]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def stop(self) -> int:
        """Its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def own_runtime(bundle: Path) -> dict[str, str]:
    """By which Python runs the code that a bundle ships, and not this checkout's."""
    return {
        "PYTHONPATH": str(bundle / "runtime"),
        "PYTHONSAFEPATH": "1",  # else the working directory comes first
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    environment: Mapping[str, str] | None = None,
    port: int = 0,
) -> Iterator[Running]:
    """Runs ``serve``; on a free port, if none is given."""
    env = {**os.environ, "TMPDIR": str(log.parent), **(environment or {})}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=subprocess.DEVNULL, stderr=stream, env=env
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()


def upload(length: int, name: str = "a.wav") -> tuple[bytes, bytes, bytes]:
    """Header, start and end of a form with a file; ``length``: of all between header and end."""
    start = (
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    ).encode()
    header = (
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
    return header, start, b"\r\n--b--\r\n"


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    try:
        while data := connection.recv(1 << 16):
            parts.append(data)
    except ConnectionError:
        pass
    return b"".join(parts)
