"""What all routes share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from asrpack.bundle.metadata import BundleMetadata
from asrpack.runtime.service.api_keys import ApiKeys
from asrpack.runtime.service.engine import Engine
from asrpack.runtime.service.metrics import Metrics
from asrpack.runtime.service.settings import Settings
from asrpack.runtime.service.upload import Uploads

T = TypeVar("T")


@dataclass(frozen=True)
class Service:
    """A loaded bundle, and how it is served.

    Attributes:
        method: decoding method.
        keys: None where no key is needed.
        uploads: of all requests.
        draining: set once the service is told to stop.
    """

    engine: Engine
    about: BundleMetadata
    settings: Settings
    method: str
    keys: ApiKeys | None
    metrics: Metrics
    uploads: Uploads
    draining: asyncio.Event = field(default_factory=asyncio.Event)


def notes(scope: Scope) -> dict[str, Any]:
    """What is known of a request, for its line in the log."""
    found: dict[str, Any] = scope.setdefault("asrpack", {})
    return found


def note_text(service: Service, scope: Scope, text: str) -> None:
    """Where whoever runs the service wants texts in the log."""
    if service.settings.log_text:
        notes(scope)["text"] = text


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Does the work of a request whose body is read; drops it when the client leaves.

    Raises:
        ClientDisconnect: it left.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        for item in (task, gone):
            item.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
