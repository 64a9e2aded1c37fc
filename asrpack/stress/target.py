"""Where requests go, and as whom."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from asrpack.errors import InputError, KeyFileError, UsageError
from asrpack.runtime.service.api_keys import keys_in

_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True)
class Target:
    """One service, spoken to in one protocol.

    Attributes:
        url: of the protocol: ``http``, ``https``, ``ws`` or ``wss``.
        metrics: Prometheus's page of the same host.
        headers: of every request.
        tls: None where there is no TLS.
        timeout: seconds for an answer; of a stream, beyond its audio.
        pace: seconds for a second of a stream's audio.
    """

    url: str
    metrics: str
    headers: dict[str, str]
    tls: ssl.SSLContext | None
    timeout: float
    pace: float


def make_target(
    url: str,
    *,
    path: str,
    stream: bool,
    api_key: str | None,
    ca: Path | None,
    timeout: float,
    pace: float,
) -> Target:
    """Reads what the command line says.

    Args:
        url: a path in it is used as it is.
        path: the protocol's, where the URL has none.
        stream: whether the protocol is one of WebSockets.
        api_key: where the key is: a file, ``env:NAME`` or ``cmd:COMMAND``.
        ca: certificates to trust instead of the system's.

    Raises:
        UsageError: it is no URL of a service.
        KeyFileError: the key cannot be read.
        InputError: the certificates cannot be read.
    """
    parts = _parts(url)
    secure = _SCHEMES[parts.scheme]
    if parts.scheme.startswith("ws") and not stream:
        raise UsageError(
            "this protocol is one of HTTP, not of WebSockets",
            code="stress-url",
            place=url,
            remedy="give http:// or https://, or another --protocol",
        )
    if ca is not None and not secure:
        raise UsageError(
            "certificates are of no use without TLS",
            code="stress-url",
            place=url,
            remedy="give https:// or wss://, or leave --ca out",
        )
    web = "https" if secure else "http"
    own = ("wss" if secure else "ws") if stream else web
    where = parts.path if parts.path.strip("/") else path
    query = f"?{parts.query}" if parts.query else ""
    return Target(
        url=f"{own}://{parts.netloc}{where}{query}",
        metrics=f"{web}://{parts.netloc}/metrics",
        headers={} if api_key is None else {"authorization": f"Bearer {_key(api_key)}"},
        tls=_context(ca) if secure else None,
        timeout=timeout,
        pace=pace,
    )


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # What is in front of the host would be a secret in the process list.
    if not usable or "@" in parts.netloc:
        raise UsageError(
            "not the address of a service",
            code="stress-url",
            place=url,
            remedy="give http, https, ws or wss, a host and a port, as http://127.0.0.1:8080, "
            "and a key by --api-key",
        )
    return parts


def _key(source: str) -> str:
    key = keys_in(source)[0]
    if not (key.isascii() and key.decode("ascii").isprintable()):
        raise KeyFileError(
            "the API key has characters that no header takes",
            code="api-key",
            place=source,
            remedy="give a file whose first line is the key",
        )
    return key.decode("ascii")


def _context(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise InputError(
            f"cannot read the certificates: {error.strerror or error}",
            code="stress-ca",
            place=str(ca),
            remedy="give a PEM file of the authority that signed the service's certificate",
        ) from None
