"""A server of the tiny model whose workers fail, as nobody expects, at recordings of one length.

Run as a process: ``python -m tests.runtime.service.broken_server --port N``.
"""

from __future__ import annotations

import argparse
import asyncio

from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.service.http_server import bind, run
from asrpack.runtime.service.logs import log, set_up
from asrpack.runtime.service.settings import Settings
from tests.runtime import tiny
from tests.runtime.service.in_process import make_app

FATAL = 16001


class Broken(Recognizer):
    """Fails with the name of a file, which no client is told."""

    def features(self, samples):
        """As a recogniser's."""
        if len(samples) == FATAL:
            raise RuntimeError("a secret path")
        return super().features(samples)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    set_up()
    settings = Settings(port=parser.parse_args().port)
    app, _ = make_app(Broken(tiny.describe(), tiny.graphs(), threads=1))
    with bind(settings) as sock:
        sock.listen()
        log("started", url=f"http://127.0.0.1:{sock.getsockname()[1]}")
        run(app, settings, sock, asyncio.Event())
