"""The application without a process around it, where a test must hold its engine."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from asrpack.bundle.metadata import BundleMetadata, ModelSummary
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Hypothesis
from asrpack.runtime.service.app import build_app
from asrpack.runtime.service.context import Service
from asrpack.runtime.service.engine import Engine
from asrpack.runtime.service.metrics import Metrics
from asrpack.runtime.service.settings import Settings
from asrpack.runtime.service.upload import Uploads

ABOUT = BundleMetadata(
    bundle_id="0" * 32,
    name="tiny",
    version="1.0",
    build="cpu",
    asrpack="0",
    created="2026-01-31T12:00:00Z",
    target="onnxruntime",
    precision="fp32",
    model=ModelSummary("tiny", 16000, 6, "attention_rescoring"),
    files={},
    watermark=None,
    minimum_runtime="0.1.0",
    recipients=(),
    sequence=1,
)


def assert_same(found: Hypothesis, alone: Hypothesis) -> None:
    """The same units; a matrix product of a batch may round its sums in another order."""
    assert (found.text, found.tokens) == (alone.text, alone.tokens)
    assert found.score == pytest.approx(alone.score, abs=1e-4)
    assert found.confidence == pytest.approx(alone.confidence, abs=1e-4)


def make_app(recognizer: Recognizer, **options: Any) -> tuple[ASGIApp, Engine]:
    """The application and its engine; ``options`` of :class:`Settings`."""
    settings, metrics = Settings(**options), Metrics()
    engine = Engine(
        recognizer,
        jobs=settings.jobs,
        workers=settings.workers,
        on_batch=metrics.batch,
        on_busy=metrics.busy,
    )
    metrics.watch(engine)
    method = recognizer.description.decode.method
    uploads = Uploads(engine, settings.jobs * settings.max_body)
    return build_app(Service(engine, ABOUT, settings, method, None, metrics, uploads)), engine


def form_scope(path: str) -> dict[str, Any]:
    """A request with a form, whose parts :func:`tests.runtime.service.running.upload` has."""
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
    }


def request(app: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    """One request."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())
