"""Servers for the WebSocket protocols."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.runtime.conftest import Sealed
from tests.runtime.service.running import Running, running
from tests.runtime.service.test_server import command, environment

_LIMITS = ["--max-duration", "30", "--max-body", "2", "--jobs", "3"]


@pytest.fixture(scope="session")
def streaming_server(
    streaming_sealed: Sealed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Of a model that streams, decoded by a method that takes hotwords."""
    yield from _serve(
        streaming_sealed, tmp_path_factory, "--decode", "ctc_prefix_beam_search", *_LIMITS
    )


@pytest.fixture(scope="session")
def whole_server(
    sealed_once: Sealed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Of a model that does not stream."""
    yield from _serve(sealed_once, tmp_path_factory, *_LIMITS)


def _serve(
    sealed: Sealed, tmp_path_factory: pytest.TempPathFactory, *options: str
) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("service") / "log"
    with running(command(sealed, *options), log, environment(sealed)) as found:
        yield found
        assert httpx.get(f"{found.url}/health").status_code == 200
        assert found.gauge("asrpack_jobs ") == 0
        assert "failed" not in [line["event"] for line in found.lines()]
