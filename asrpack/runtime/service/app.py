"""The ASGI application: all routes, and what monitors ask for."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from asrpack.errors import AsrpackError
from asrpack.runtime.service.admission import Admission
from asrpack.runtime.service.context import Service, notes
from asrpack.runtime.service.errors import error_body, error_response
from asrpack.runtime.service.gateway import Gateway
from asrpack.runtime.service.openai_api import openai_routes
from asrpack.runtime.service.openapi import openapi_document
from asrpack.runtime.service.paddlespeech_api import paddlespeech_routes
from asrpack.runtime.service.page import page_routes
from asrpack.runtime.service.stream_routes import stream_routes
from asrpack.runtime.service.subtitles_api import subtitle_routes

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def build_app(service: Service) -> ASGIApp:
    """The application of a loaded bundle."""
    routes = [
        *openai_routes(service),
        *paddlespeech_routes(service),
        *stream_routes(service),
        *subtitle_routes(service),
        *page_routes(),
        *_monitoring(service),
    ]
    app: ASGIApp = Starlette(
        routes=routes,
        exception_handlers={
            AsrpackError: _failed,
            HTTPException: _failed,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app = Admission(app, service)
    if service.settings.cors:
        app = CORSMiddleware(
            app,
            allow_origins=service.settings.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["x-request-id", "retry-after"],
        )
    paths = (route.path for route in routes if isinstance(route, Route | WebSocketRoute))
    return Gateway(app, service, frozenset(paths))


async def _failed(request: Request, error: Exception) -> Response:
    found = notes(request.scope)
    # What stopped the answer may be known already: a client that does not read it.
    found.setdefault("code", error_body(error, found["id"])["error"]["code"])
    return error_response(error, found["id"])


async def _gone(request: Request, _: Exception) -> Response:
    notes(request.scope)["code"] = "client-gone"
    return Response(status_code=499)  # nobody reads it; the log has it, as nginx's


def _told(service: Service) -> dict[str, object]:
    """What anybody may know, and the page must: nothing that is secret."""
    about, recognizer, left = service.about, service.engine.recognizer, _days_left(service)
    return {
        "model": about.name,
        "version": about.version,
        "precision": about.precision,
        "provider": recognizer.provider,
        "decoding": service.method,
        "streams": recognizer.description.streaming is not None,
        "api_key": service.keys is not None,
        "max_body": service.settings.max_body,
        "licensed": recognizer.lease is not None,
        "licence_days_left": None if left is None else round(left, 1),
    }


def _days_left(service: Service) -> float | None:
    """Of the licence; None where there is none, or it has no end."""
    lease = service.engine.recognizer.lease
    return None if lease is None else lease.days_left()


def _monitoring(service: Service) -> list[Route]:
    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", **_told(service)})

    async def ready(_: Request) -> Response:
        left = _days_left(service)
        if left is not None and left <= 0:
            return JSONResponse({"status": "the licence is over"}, 503)
        return JSONResponse({"status": "ready"})

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.render(), headers={"content-type": _METRICS_TYPE})

    async def openapi(_: Request) -> Response:
        return JSONResponse(openapi_document(service.about, keys=service.keys is not None))

    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
        Route("/openapi.json", openapi),
    ]
