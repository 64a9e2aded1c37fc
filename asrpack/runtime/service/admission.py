"""Who is let in: before the application, and within what tells browsers who may read answers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from asrpack.errors import AsrpackError
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.engine import draining
from asrpack.runtime.service.errors import RequestError, error_response
from asrpack.runtime.service.page import PAGE_PATHS

# What monitors ask, and the page itself: without a key.
_OPEN = frozenset({"/health", "/ready", "/metrics"}) | PAGE_PATHS


class Admission:
    """Refuses whom the application is not for; a WebSocket before it is one."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._refusal(scope)
        if error is None:
            await self._app(scope, receive, send)
            return
        found = notes(scope)
        found["code"] = error.code
        await error_response(error, found["id"])(scope, receive, send)

    def _refusal(self, scope: Scope) -> AsrpackError | None:
        headers = Headers(scope=scope)
        if self._service.draining.is_set():
            return draining()
        if scope["type"] == "websocket" and not self._own_page(headers):
            return RequestError(
                "pages of other origins open no WebSocket of this service",
                code="origin",
                remedy="tell the operator: --cors names the origins that may",
            )
        keys = self._service.keys
        if keys is None or is_open(scope):
            return None
        if keys.allow(headers.get("authorization"), scope.get("subprotocols", ())):
            return None
        return RequestError(
            "the API key is missing or not one of this service",
            code="api-key",
            remedy="send it as `Authorization: Bearer KEY`",
        )

    def _own_page(self, headers: Headers) -> bool:
        """No other origin's page opens a WebSocket: browsers tell its origin, and ask nobody."""
        origin, cors = headers.get("origin"), self._service.settings.cors
        if origin is None or "*" in cors or origin in cors:
            return True
        return urlsplit(origin).netloc == headers.get("host")


def is_open(scope: Scope) -> bool:
    """Whether anybody may ask it; not a WebSocket, of which there is one at the page's path."""
    return scope["type"] == "http" and scope["path"] in _OPEN
