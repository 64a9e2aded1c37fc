"""Receives a request's body: never more than is allowed, never slower than is bearable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from asrpack.errors import ToolchainError
from asrpack.runtime.service.errors import RequestError

# A client that sends nothing for so long, or less than that a second, is cut off.
_IDLE_SECONDS = 10.0
_LEAST_RATE = 1000.0
# Fields other than the file, each, and how many there may be.
_FIELD_BYTES, _FIELDS = 1 << 16, 32


def bound(request: Request, max_body: int) -> Request:
    """The same request, with a body that is refused once it is too large or too slow.

    Raises:
        RequestError: its header says already that it is too large.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_body:
        raise too_large(max_body)
    received, began = 0, time.monotonic()

    async def receive() -> Message:
        nonlocal received
        try:
            message = await asyncio.wait_for(request.receive(), _IDLE_SECONDS)
        except TimeoutError:
            raise _slow() from None
        received += len(message.get("body", b""))
        if received > max_body:
            raise too_large(max_body)
        seconds = time.monotonic() - began
        if message.get("more_body") and seconds > _IDLE_SECONDS + received / _LEAST_RATE:
            raise _slow()
        return message

    return Request(request.scope, receive)


@asynccontextmanager
async def read_form(request: Request, max_body: int) -> AsyncIterator[FormData]:
    """The fields of a form; its file is on disk beyond 1 MB, and gone afterwards.

    Raises:
        RequestError: it is no form, too large, or too slow.
        ToolchainError: there is no room for it on this host.
        ClientDisconnect: the client left meanwhile.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise RequestError(
            f"the body is {kind or 'of no type'}, not multipart/form-data",
            code="content-type",
            remedy="send a form with the recording as its field `file`: curl -F file=@audio.wav",
        )
    try:
        form = await bound(request, max_body).form(
            max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES
        )
    except HTTPException as error:
        raise RequestError(
            f"the form cannot be read: {error.detail.rstrip('.')}",
            code="form",
            remedy="send multipart/form-data as `curl -F` does, with one file",
        ) from None
    except OSError as error:
        raise no_space(error) from None
    try:
        yield form
    finally:
        await form.close()


def no_space(error: OSError) -> ToolchainError:
    """The host's folder for temporary files is full, or read-only."""
    return ToolchainError(
        f"the recording cannot be kept while it is read: {error.strerror}",
        code="no-space",
        remedy="tell the operator: TMPDIR must name a folder that can be written",
    )


def too_large(max_body: int) -> RequestError:
    """The refusal of what has more bytes than are allowed."""
    return RequestError(
        f"the request is over {max_body} bytes",
        code="body-too-large",
        remedy="send FLAC or OGG instead of WAV, or cut the recording at pauses",
        parameter="file",
    )


def _slow() -> RequestError:
    return RequestError(
        f"the body arrives too slowly: under {_LEAST_RATE:.0f} bytes a second, or nothing for "
        f"{_IDLE_SECONDS:.0f} s",
        code="upload-slow",
        remedy="send it again over a better connection",
    )
