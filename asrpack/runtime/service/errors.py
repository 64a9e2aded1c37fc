"""Failures as clients get them: a status, and OpenAI's shape of an error."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from asrpack.errors import AsrpackError, InputError, KeyFileError, UsageError
from asrpack.runtime.service.engine import BusyError

_STATUS = {
    "audio-too-long": 413,
    "body-too-large": 413,
    "audio-format": 415,
    "content-type": 415,
    "draining": 503,
    "no-space": 507,
    "licence-streams": 429,
    "upload-slow": 408,
    "model-unknown": 404,
    "not-found": 404,
    "method-not-allowed": 405,
    "api-key": 401,
    "origin": 403,
}
_HTTP_CODES = {404: "not-found", 405: "method-not-allowed"}


class RequestError(UsageError):
    """A request that cannot be served.

    Attributes:
        parameter: the field at fault; None where it is no field.
    """

    def __init__(self, message: str, *, code: str, remedy: str, parameter: str | None = None):
        super().__init__(message, code=code, remedy=remedy)
        self.parameter = parameter


def internal(request_id: str) -> AsrpackError:
    """What is told of a fault of this service; its log has the rest."""
    return AsrpackError(
        "internal error",
        code="internal",
        remedy=f"give the operator this request's id, {request_id}",
    )


def status_of(error: Exception) -> int:
    """The HTTP status of a failure."""
    if isinstance(error, HTTPException):
        return error.status_code
    if not isinstance(error, AsrpackError):
        return 500
    if error.code in _STATUS:
        return _STATUS[error.code]
    if isinstance(error, BusyError):
        return 429
    if isinstance(error, KeyFileError):  # the licence is over: no client can help it
        return 503
    return 400 if isinstance(error, (InputError, UsageError)) else 500


def error_body(error: Exception, request_id: str) -> dict[str, Any]:
    """What is told, without paths and names of this host."""
    status = status_of(error)
    if isinstance(error, HTTPException):
        code: str | None = _HTTP_CODES.get(status)
        message, parameter = f"{error.detail}; GET /openapi.json lists what there is", None
    else:
        known = error if isinstance(error, AsrpackError) else internal(request_id)
        code, parameter = known.code, getattr(known, "parameter", None)
        if isinstance(known, InputError):
            parameter = parameter or "file"
        message = f"{known.message}; {known.remedy}" if known.remedy else known.message
    return {"error": {"message": message, "type": _kind(status), "param": parameter, "code": code}}


def error_response(error: Exception, request_id: str) -> JSONResponse:
    """With ``Retry-After`` where trying again helps."""
    headers = {}
    status = status_of(error)
    if status in (429, 503):
        headers["retry-after"] = str(getattr(error, "retry_after", 1 if status == 429 else 60))
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(error_body(error, request_id), status, headers)


def _kind(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
