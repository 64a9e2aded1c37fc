"""How many utterances to recognise at once, and how long to wait for more of them."""

from __future__ import annotations

# Weight of the newest measurement in a running mean.
_NEWEST = 0.2
# A larger batch must cost no more than this, relative to the best smaller one.
_WORTH = 1.02
# One batch in so many may be twice the best size, as machines and loads change.
_RETRY = 64


class BatchPolicy:
    """Learns from what was measured. One thread at a time.

    The size climbs in powers of two as long as a second of audio gets no dearer, within what the
    oldest utterance's latency target leaves; once that is missed the best throughput is all that
    helps. A worker waits for a batch to fill only for less time than the larger batch saves it, and
    not on when those expected did not come: clients that wait for their texts send nothing.

    Args:
        most: the largest batch; 1 where a batch's results would not be those of its members.
        target: seconds from an utterance's arrival to its result.

    Attributes:
        most: the largest batch.
    """

    def __init__(self, most: int, target: float) -> None:
        self.most = most
        self._target = target
        self._costs: list[float] = []  # seconds for one of audio, by the power of two
        self._batches = 0
        self._last: float | None = None
        self._gap = float("inf")  # seconds between arrivals

    def arrived(self, now: float) -> None:
        """An utterance came in at this time, in seconds of any clock."""
        if self._last is not None:
            gap = now - self._last
            self._gap = gap if self._gap == float("inf") else _mean(self._gap, gap)
        self._last = now

    def done(self, size: int, audio: float, seconds: float) -> None:
        """So many utterances, of ``audio`` seconds with their padding, took ``seconds``."""
        self._batches += 1
        power, cost = size.bit_length() - 1, seconds / max(audio, 1e-3)
        if power < len(self._costs):
            self._costs[power] = _mean(self._costs[power], cost)
        elif power == len(self._costs):
            self._costs.append(cost)

    def size(self, longest: float, age: float) -> int:
        """The most to take now.

        Args:
            longest: seconds of audio of each, padded.
            age: seconds that the oldest has waited.
        """
        power = self._best()
        left = self._target - age
        while power and left > 0 and self._seconds(power, longest) > left:
            power -= 1
        return int(min(self.most, 1 << power))

    def wait(self, have: int, want: int, longest: float, age: float, now: float) -> float:
        """Seconds to wait for the batch to fill; 0 where that is not worth it.

        Args:
            longest, age: as for :meth:`size`.
            now: in seconds of the clock of :meth:`arrived`.
        """
        if have >= want or self._last is None:
            return 0.0
        expected = self._gap * (want - have)
        left = self._target - age - self._seconds(want.bit_length() - 1, longest)
        if expected >= min(left / 2, self._saved(have, want, longest)):
            return 0.0
        return max(0.0, self._last + expected - now)

    def _saved(self, have: int, want: int, longest: float) -> float:
        """Seconds of a worker that ``want`` utterances cost less than as batches of ``have``."""
        smaller, larger = have.bit_length() - 1, want.bit_length() - 1
        if larger >= len(self._costs):  # not known yet
            return 0.0
        return (self._costs[smaller] - self._costs[larger]) * longest * want

    def _best(self) -> int:
        """The power of two with the least cost; one more where that was not tried yet."""
        power = 0
        while 1 << power < self.most and power < len(self._costs):
            if power + 1 == len(self._costs):
                return power + 1
            if self._costs[power + 1] > _WORTH * min(self._costs[: power + 1]):
                return power if self._batches % _RETRY else power + 1
            power += 1
        return power

    def _seconds(self, power: int, longest: float) -> float:
        if not self._costs:
            return 0.0
        cost = self._costs[min(power, len(self._costs) - 1)]
        return cost * longest * (1 << power)


def _mean(old: float, new: float) -> float:
    return (1 - _NEWEST) * old + _NEWEST * new
