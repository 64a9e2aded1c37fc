"""The page at ``/``: the files beside this one, as they are, with what keeps a browser from more.

It loads nothing from elsewhere and runs nothing but its own files; nobody needs a key to see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_INDEX = "index.html"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {
    "/" if path.name == _INDEX else f"/page/{path.name}": path
    for path in sorted(Path(__file__).parent.iterdir())
    if path.suffix in _TYPES
}
PAGE_PATHS = frozenset(_FILES)

_HEADERS = {
    # Asked for again each time, and answered with 304: a new bundle's page is never the old one's.
    "cache-control": "no-cache",
    "content-security-policy": "; ".join(
        [
            "default-src 'none'",
            *(f"{kind}-src 'self'" for kind in ("connect", "img", "script", "style")),
            *(f"{name} 'none'" for name in ("base-uri", "form-action", "frame-ancestors")),
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    ),
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def page_routes() -> list[Route]:
    """One for each file; they are read now, and once."""
    return [Route(at, _endpoint(path)) for at, path in _FILES.items()]


def _endpoint(path: Path) -> Callable[[Request], Awaitable[Response]]:
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()}"'
    headers = {**_HEADERS, "etag": tag, "content-type": _TYPES[path.suffix]}

    async def answer(request: Request) -> Response:
        known = request.headers.get("if-none-match", "").split(",")
        if tag in (item.strip().removeprefix("W/") for item in known):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)

    return answer
