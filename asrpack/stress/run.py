"""One measurement of a service, from its options to all figures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asrpack import __version__
from asrpack.bundle.metadata import utc
from asrpack.stress.load import run_load
from asrpack.stress.plan import Plan
from asrpack.stress.probe import probe
from asrpack.stress.protocols import Protocol
from asrpack.stress.recordings import Sound
from asrpack.stress.tally import Tally
from asrpack.stress.target import Target


@dataclass(frozen=True)
class Service:
    """What is loaded: a service, and the protocol it is spoken to in."""

    name: str
    protocol: Protocol
    target: Target


def measure_service(
    service: Service,
    sounds: Sequence[Sound],
    plan: Plan,
    tell: Callable[[Tally, float], None],
) -> dict[str, Any]:
    """Tries the service once, then loads it.

    Returns:
        ``ok``, and what there was of ``service``, ``load``, ``requests``, ``refused``, ``failed``,
        ``wrong``, ``throughput``, ``latency``, ``first_text``, ``final_text``, ``server``,
        ``client`` and ``series``.

    Raises:
        AsrpackError: as :func:`probe`.
    """

    async def whole() -> dict[str, Any]:
        await probe(service.protocol, service.target, sounds[0])
        tally, monitor = await run_load(plan, service.protocol, service.target, sounds, tell)
        summary = tally.summary(streams=service.protocol.streams)
        return {
            **summary,
            "server": monitor.server(plan.warm_up),
            "client": monitor.client(plan.warm_up),
        }

    created = utc(int(time.time()))
    found = asyncio.run(whole())
    known = sum(sound.text is not None for sound in sounds)
    return {
        "ok": _well(found["requests"]),
        "asrpack": __version__,
        "created": created,
        "service": {"url": service.target.url, "protocol": service.name},
        "load": {
            "concurrency": plan.concurrency,
            "rate": plan.rate,
            "pace": service.target.pace if service.protocol.streams else None,
            "timeout": plan.timeout,
            "recordings": len(sounds),
            "audio_seconds": sum(sound.seconds for sound in sounds),
            "expected_texts": known,
        },
        **found,
    }


def _well(requests: dict[str, int]) -> bool:
    """Back-pressure is no failure, unless nothing else was there."""
    bad = requests["failed"] + requests["wrong"] + requests["unsent"]
    return requests["ok"] > 0 and bad == 0
