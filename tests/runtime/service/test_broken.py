"""What a client gets, and the log has, of a fault of the service itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import numpy as np

from tests.runtime.service.broken_server import FATAL
from tests.runtime.service.protocol_clients import closed
from tests.runtime.service.running import running

COMMAND = [sys.executable, "-m", "tests.runtime.service.broken_server"]
SAMPLES = np.zeros(FATAL, "<i2").tobytes()


def test_a_fault_in_a_stream_closes_it_with_the_id(tmp_path: Path) -> None:
    with running(COMMAND, tmp_path / "log") as server:
        url = server.url.replace("http", "ws")
        messages = ['{"is_speaking": true}', SAMPLES, '{"is_speaking": false}']
        (told,), close = asyncio.run(closed(f"{url}/funasr", messages))
        (line,) = server.logged(event="request", code="internal")
        assert (line["path"], line["status"]) == ("/funasr", 101)
        assert "internal error" in told["error"] and line["id"] in told["error"]
        assert close.code == 1011 and line["id"] in close.reason
        (fault,) = server.logged(event="failed", id=line["id"])
        assert "a secret path" in fault["traceback"]
        assert server.gauge("asrpack_jobs ") == 0
