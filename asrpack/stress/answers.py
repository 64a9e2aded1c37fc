"""What becomes of one request."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

_SHOWN = 200


@dataclass(frozen=True)
class Answer:
    """A text.

    Attributes:
        first: seconds from the first audio sent to the first text that was not empty; None where
            there is none, or all of it comes at once.
        finish: seconds from the last audio sent to the final text; None where all text
            comes at once.
    """

    text: str
    first: float | None = None
    finish: float | None = None


class RefusedError(Exception):
    """The service has no room now: back-pressure, and no failure.

    Attributes:
        code: ``429`` of HTTP, or ``1013`` of a WebSocket.
        retry_after: seconds that the service asks to wait, if it does.
    """

    def __init__(self, code: str, retry_after: float | None = None) -> None:
        super().__init__(code)
        self.code, self.retry_after = code, retry_after


class FailedError(Exception):
    """No answer, or none that is one.

    Attributes:
        kind: ``connect``, ``tls``, ``connection`` (lost), ``timeout``, ``protocol``, ``closed
            CODE`` of a WebSocket or ``status CODE`` of HTTP.
        detail: what was seen, shortened.
    """

    def __init__(self, kind: str, detail: str) -> None:
        detail = " ".join(detail.split())
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail if len(detail) <= _SHOWN else f"{detail[: _SHOWN - 1]}…"


def not_connected(error: Exception) -> FailedError:
    """Why there is no connection; TLS is told apart."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, ssl.SSLError):
            return FailedError("tls", str(link))
        link = link.__cause__ or link.__context__
    return FailedError("connect", str(error) or type(error).__name__)


def status_error(status: int, retry_after: str | None, body: bytes) -> FailedError | RefusedError:
    """An HTTP answer that is no text."""
    if status == 429:
        known = retry_after is not None and retry_after.isdecimal()
        return RefusedError("429", float(retry_after or 0) if known else None)
    return FailedError(f"status {status}", body[: 4 * _SHOWN].decode(errors="replace"))
