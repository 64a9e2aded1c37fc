"""A bundle that is served while it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from asrpack.errors import AsrpackError, ToolchainError
from asrpack.runtime.service.api_keys import API_KEYS_VARIABLE

_START_SECONDS = 300.0
_STOP_SECONDS = 60.0


class ServeError(AsrpackError):
    """``serve`` ended; its words and its exit code are ours."""


@contextmanager
def served(bundle: Path, options: Sequence[str]) -> Iterator[str]:
    """Its address, on this host and for nobody else.

    Args:
        options: of ``serve``.

    Raises:
        AsrpackError: it does not start.
    """
    command = [sys.executable, "-m", "asrpack", "serve", str(bundle), "--port=0", *options]
    environment = {key: value for key, value in os.environ.items() if key != API_KEYS_VARIABLE}
    with tempfile.TemporaryFile("w+b") as log:
        # A session of its own: Ctrl-C ends the load, which then ends the service.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        try:
            yield _started(process, log)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll()
        log.seek(0)
        text = log.read().decode(errors="replace")
        for line in text.rpartition("\n")[0].splitlines():
            if line.startswith("{") and (found := json.loads(line)).get("event") == "started":
                return str(found["url"])
        if ended is not None:
            raise _failed(ended, text)
        time.sleep(0.1)
    raise ToolchainError(
        f"the bundle is not served after {_START_SECONDS:.0f} s",
        code="stress-serve",
        remedy="serve it yourself, and give its URL",
    )


def _failed(code: int, text: str) -> ServeError:
    """What ``serve`` said last; its log is JSON."""
    said = [line for line in text.splitlines() if line and not line.startswith("{")]
    whole = "\n".join(said).rpartition("asrpack: ")[2]
    message, _, remedy = whole.partition("\n  remedy: ")
    error = ServeError(
        message or f"serve ended with {code}", code="stress-serve", remedy=remedy or None
    )
    error.exit_code = code if code > 0 else 1  # type: ignore[misc]
    return error
