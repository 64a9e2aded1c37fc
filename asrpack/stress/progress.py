"""How far a load is, on standard error."""

from __future__ import annotations

import sys

from asrpack.stress.plan import Plan
from asrpack.stress.tally import Tally

# Between lines where no terminal draws one anew.
_LINE_SECONDS = 30


class Progress:
    """A line that is drawn anew each second; a line now and then where nobody sees that."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._terminal = sys.stderr.isatty()
        self._told = 0.0

    def tell(self, tally: Tally, second: float) -> None:
        """After so many seconds."""
        if not self._terminal and second - self._told < _LINE_SECONDS:
            return
        self._told = second
        ok, refused, failed = tally.counts()
        stage = "warm-up" if second < self._plan.warm_up else "load"
        if second > self._plan.end:
            stage = "waiting for the last answers"
        line = (
            f"{stage}, {second:.0f} of {self._plan.end:.0f} s: "
            f"{ok} ok, {refused} refused, {failed} failed"
        )
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"asrpack: {line}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Takes the line away."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
