"""The time, as far as it can be believed on a host whose owner can set the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

from asrpack.bundle.licence_body import DAY
from asrpack.bundle.metadata import LATEST_SECOND, utc
from asrpack.errors import KeyFileError

SLACK = 600
"""Seconds that two machines' clocks may differ, and that synchronising one may set it back."""

TOLERANCE = DAY
"""Seconds that a clock may be behind what was seen, with a warning. A hardware clock kept in local
time is 14 hours off at most where it is taken for UTC, and a day covers that; what is further off
is no mistake of that kind. Meanwhile the time stands still at the latest that was seen, so setting
the clock back gains nothing."""


def running_seconds() -> float:
    """Seconds since the host started, those in which it slept included where that is known."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Clock:
    """Does not go back while the process runs, nor behind a floor.

    Args:
        wall: the host's clock, Unix seconds.
        running: seconds from some moment on, which no change of the clock moves.
    """

    def __init__(self, wall: Callable[[], float], running: Callable[[], float]) -> None:
        self._wall = wall
        self._running = running
        self._began = wall() - running()

    def read(self, floor: int) -> tuple[int, int]:
        """The time, and by how many seconds the host's clock is behind it.

        Args:
            floor: a time that is past for certain.

        Returns:
            Unix seconds, at most the last second of the year 9999; and seconds.
        """
        wall = self._wall()
        now = max(wall, floor, self._began + self._running())
        return int(min(now, LATEST_SECOND)), int(now - wall)


def refuse_rollback(now: int, behind: int) -> None:
    """Raises KeyFileError where the clock is further behind than an honest mistake explains."""
    if behind > TOLERANCE:
        raise KeyFileError(
            f"the clock was set back: it is {behind // 3600} hours behind {utc(now)}, "
            "which is past already",
            code="licence-clock",
            place="the host's clock",
            remedy="set the clock right; where it had been ahead by mistake, ask the vendor to "
            "renew the licence: from then on the host starts at the renewal's date",
        )
