"""``stress``, behind its flags."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from asrpack.errors import UsageError
from asrpack.stress.plan import Plan
from asrpack.stress.progress import Progress
from asrpack.stress.protocols import NAMES, protocol_of
from asrpack.stress.recordings import load_sounds
from asrpack.stress.run import Service, measure_service
from asrpack.stress.served import served
from asrpack.stress.target import make_target


def stress(
    service: str,
    plan: Plan,
    *,
    protocol: str,
    audio: Sequence[Path],
    manifest: Path | None,
    pace: float,
    model: str,
    api_key: str | None,
    ca: Path | None,
    identity: str | None,
    trust: Sequence[Path],
    licence: Path | None,
) -> dict[str, Any]:
    """Measures a service, or a bundle that is served meanwhile.

    Args:
        service: a URL, or a bundle's directory.
        protocol: one of :data:`NAMES`.
        audio, manifest: as for :func:`load_sounds`.
        pace, model, api_key, ca: as for :func:`make_target` and :func:`protocol_of`.
        identity, trust, licence: of the bundle, as ``serve`` takes them.

    Returns:
        As :func:`measure_service`.

    Raises:
        AsrpackError: what is given cannot be used, the bundle is not served, or the service does
            not answer.
    """
    if protocol not in NAMES:
        raise UsageError(
            f"no such protocol: {protocol}", code="usage", remedy=f"give one of {', '.join(NAMES)}"
        )
    spoken = protocol_of(protocol, model)
    options = _serve_options(identity, trust, licence)
    known = "://" in service
    if known and options:
        raise UsageError(
            "identity, trust and licence are a bundle's, not a service's",
            code="usage",
            remedy="leave them out; a service's key is --api-key",
        )
    if not known and (api_key or ca):
        raise UsageError(
            "API key and certificates are a service's, not a bundle's",
            code="usage",
            remedy="leave them out, or serve the bundle and give its URL",
        )
    if not known and not Path(service).is_dir():
        raise UsageError(
            "neither a URL nor the directory of a bundle",
            code="stress-url",
            place=service,
            remedy="give a URL with its scheme, as http://127.0.0.1:8080",
        )
    sounds = load_sounds(audio, manifest, spoken.prepare)
    with ExitStack() as stack:
        target = make_target(
            service if known else stack.enter_context(served(Path(service), options)),
            path=spoken.path,
            stream=spoken.streams,
            api_key=api_key,
            ca=ca,
            timeout=plan.timeout,
            pace=pace,
        )
        progress = Progress(plan)
        try:
            return measure_service(Service(protocol, spoken, target), sounds, plan, progress.tell)
        finally:
            progress.clear()


def _serve_options(identity: str | None, trust: Sequence[Path], licence: Path | None) -> list[str]:
    options = [] if identity is None else [f"--identity={identity}"]
    options += [f"--trust={path}" for path in trust]
    return options + ([] if licence is None else [f"--license={licence}"])
