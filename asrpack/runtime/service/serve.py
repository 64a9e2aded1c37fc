"""``serve``: opens a bundle and answers requests until it is told to stop."""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from asrpack.runtime.keyring import identity_source, pinned
from asrpack.runtime.load import open_bundle
from asrpack.runtime.service.api_keys import API_KEYS_VARIABLE, ApiKeys, read_api_keys
from asrpack.runtime.service.app import build_app
from asrpack.runtime.service.context import Service
from asrpack.runtime.service.engine import THREADS_PER_GRAPH, Engine
from asrpack.runtime.service.http_server import bind, check_tls, run
from asrpack.runtime.service.logs import log, set_up
from asrpack.runtime.service.metrics import Metrics
from asrpack.runtime.service.settings import Settings
from asrpack.runtime.service.upload import Uploads


def serve(
    bundle: Path,
    settings: Settings,
    *,
    identity: str | None,
    trust: Sequence[Path] = (),
    licence: Path | None = None,
) -> int:
    """Serves a bundle; returns 0 once it was told to stop and all was answered.

    What is wrong with the settings is said before the model is loaded.

    Args:
        identity, trust, licence: as for :func:`asrpack.runtime.commands.run`.

    Raises:
        AsrpackError: the bundle cannot be opened, or the settings cannot be used.
    """
    set_up()
    keys = _api_keys(settings)
    check_tls(settings)
    if keys is None and not _local(settings.host):
        _warn(
            f"whoever reaches {settings.host}:{settings.port} may use this service: give "
            f"--api-keys, or let {API_KEYS_VARIABLE} name a file of them"
        )
    with bind(settings) as sock:
        opened = open_bundle(
            bundle,
            identity_source(identity),
            pinned(trust, _warn),
            licence=licence,
            warn=_warn,
            threads=THREADS_PER_GRAPH,
            decode=settings.decode,
            one_method=True,
        )
        recognizer, method = opened.recognizer, opened.description.decode.method
        metrics = Metrics()
        engine = Engine(
            recognizer,
            jobs=settings.jobs,
            workers=settings.workers,
            latency=settings.latency,
            on_batch=metrics.batch,
            on_busy=metrics.busy,
        )
        metrics.watch(engine)
        uploads = Uploads(engine, settings.jobs * settings.max_body)
        service = Service(engine, opened.metadata, settings, method, keys, metrics, uploads)
        host, port = sock.getsockname()[:2]
        sock.listen()  # who reads that it started may connect
        log(
            "started",
            url=f"{'https' if settings.tls_key else 'http'}://"
            f"{f'[{host}]' if ':' in host else host}:{port}",
            model=opened.metadata.name,
            version=opened.metadata.version,
            decode=method,
            workers=engine.workers,
            batches=engine.joined,
            provider=recognizer.provider,
        )
        run(build_app(service), settings, sock, service.draining)
    engine.close()
    log("stopped")
    return 0


def _api_keys(settings: Settings) -> ApiKeys | None:
    source = settings.api_keys or os.environ.get(API_KEYS_VARIABLE)
    return read_api_keys(source) if source else None


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _warn(text: str) -> None:
    log("warning", logging.WARNING, text=text)
