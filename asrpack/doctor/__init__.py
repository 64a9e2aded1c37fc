"""What is wrong with this machine or its packages, each finding with a remedy.

A check is a function from :class:`~asrpack.doctor.facts.Facts` to findings, in the list below;
the facts are gathered once. Paddle and PaddleSpeech are not imported: their versions tell enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from asrpack.doctor.facts import Facts
from asrpack.doctor.finding import Finding
from asrpack.doctor.gpu import gpu
from asrpack.doctor.machine import audio, cores_and_memory, disk, int8_speed
from asrpack.doctor.packages import (
    base_packages,
    clashes,
    engines,
    python_version,
    side_effects,
    toolchain,
)

CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    python_version,
    base_packages,
    toolchain,
    engines,
    clashes,
    side_effects,
    int8_speed,
    gpu,
    cores_and_memory,
    audio,
    disk,
)


def examine(facts: Facts) -> list[Finding]:
    """All findings, in the order of the checks."""
    return [finding for check in CHECKS for finding in check(facts)]
