"""Receives a request's body: never more than is allowed, never slower than is bearable."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import BinaryIO, cast

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from asrpack.errors import ToolchainError
from asrpack.runtime.service.engine import Engine
from asrpack.runtime.service.errors import RequestError

# More of a body than this is on disk.
_IN_MEMORY = 1 << 20
# A client that sends nothing for so long, or less than that a second, is cut off.
_IDLE_SECONDS = 10.0
_LEAST_RATE = 1000.0
# Fields other than the file, each, and how many there may be.
_FIELD_BYTES, _FIELDS = 1 << 16, 32


class Uploads:
    """Bytes that uploads hold together, in memory and on disk, until they are answered.

    A body arrives before its job begins, or whoever sends slowly would hold the places of others.
    What bounds these bodies is what they hold: of that a slow one has little.

    Args:
        most: bytes of all.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine, self._most, self._held = engine, most, 0

    @contextmanager
    def one(self) -> Iterator[Callable[[int], None]]:
        """One of them, from its first byte to its answer; yields what counts bytes that came.

        Raises:
            BusyError: there is no room for them.
        """
        held = 0

        def take(count: int) -> None:
            nonlocal held
            if self._held + count > self._most:
                raise self._engine.busy(f"uploads hold {self._held} bytes, and no more are taken")
            held += count
            self._held += count

        try:
            yield take
        finally:
            self._held -= held


def _bound(request: Request, max_body: int, take: Callable[[int], None]) -> Request:
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
        count = len(message.get("body", b""))
        received += count
        if received > max_body:
            raise too_large(max_body)
        take(count)
        seconds = time.monotonic() - began
        if message.get("more_body") and seconds > _IDLE_SECONDS + received / _LEAST_RATE:
            raise _slow()
        return message

    return Request(request.scope, receive)


@asynccontextmanager
async def read_body(request: Request, max_body: int, uploads: Uploads) -> AsyncIterator[BinaryIO]:
    """A body that is no form: a file, on disk beyond 1 MB, and gone afterwards.

    Raises:
        RequestError: it is too large, or too slow.
        BusyError: there is no room for it beside the others.
        ToolchainError: there is no room for it on this host.
        ClientDisconnect: the client left meanwhile.
    """
    with uploads.one() as take, spooled() as file:
        async for data in _bound(request, max_body, take).stream():
            with told_of_space():
                file.write(data)
        with told_of_space():
            file.seek(0)
        yield file


@asynccontextmanager
async def read_form(request: Request, max_body: int, uploads: Uploads) -> AsyncIterator[FormData]:
    """The fields of a form; its file is on disk beyond 1 MB, and gone afterwards.

    Raises:
        RequestError: it is no form, too large, or too slow.
        BusyError: there is no room for it beside the others.
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
    with uploads.one() as take:
        form = await _form(_bound(request, max_body, take))
        try:
            yield form
        finally:
            await form.close()


async def _form(request: Request) -> FormData:
    try:
        with told_of_space():
            return await request.form(max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES)
    except (HTTPException, UnicodeError) as error:
        found = error.detail.rstrip(".") if isinstance(error, HTTPException) else str(error)
        raise RequestError(
            f"the form cannot be read: {found}",
            code="form",
            remedy="send multipart/form-data as `curl -F` does, with one file",
        ) from None


@contextmanager
def spooled() -> Iterator[BinaryIO]:
    """A file without a name, on disk beyond 1 MB, and gone afterwards."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
    try:
        yield cast(BinaryIO, file)
    finally:
        with suppress(OSError):  # what had no room is written once more
            file.close()


@contextmanager
def told_of_space() -> Iterator[None]:
    """Around what writes to such a file, or makes it write what it holds back.

    Raises:
        ToolchainError: the host's folder for temporary files is full, or read-only.
    """
    try:
        yield
    except OSError as error:
        raise ToolchainError(
            f"the recording cannot be kept while it is read: {error.strerror}",
            code="no-space",
            remedy="tell the operator: TMPDIR must name a folder that can be written",
        ) from None


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
