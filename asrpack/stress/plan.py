"""How much is asked of a service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        concurrency: clients at a time.
        warm_up: seconds before anything counts; the clients join in the first half of them.
        duration: seconds that count.
        rate: requests a second, at random times that do not wait for answers (a Poisson process);
            None where each client sends its next recording when it has the last one's text.
        timeout: seconds for an answer.
    """

    concurrency: int
    warm_up: float
    duration: float
    rate: float | None
    timeout: float

    @property
    def end(self) -> float:
        """Seconds after which nothing is sent."""
        return self.warm_up + self.duration
