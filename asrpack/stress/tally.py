"""What became of all requests, in a few bytes each."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.bench.statistics import latency
from asrpack.stress.answers import Answer, FailedError
from asrpack.stress.recordings import Sound

OK, REFUSED, FAILED, WRONG = range(4)
_NO_ANSWER = Answer("")
_MOST_EXAMPLES = 5
# Columns of a plot, at most.
_BINS = 600


class Tally:
    """Requests that were due before ``warm_up`` seconds are told apart.

    Attributes:
        unsent: requests that no client was free for before the end.
        details: an example of each kind of failure.
        examples: of texts that are not those expected.
    """

    def __init__(self, sounds: Sequence[Sound], warm_up: float) -> None:
        self._sounds, self._warm_up = sounds, warm_up
        self._texts = [sound.text for sound in sounds]
        self._due, self._ended = array("d"), array("d")
        self._first, self._finish = array("d"), array("d")
        self._seconds = array("f")
        self._outcome = array("b")
        self._sent = Counter[bool]()
        self._refusals, self._failures = Counter[str](), Counter[str]()
        self._end = math.inf
        self.interrupted = False
        self.unsent = 0
        self.details: dict[str, str] = {}
        self.examples: list[dict[str, str]] = []

    def sent(self, due: float) -> None:
        """One is under way."""
        self._sent[due >= self._warm_up] += 1

    def answered(self, due: float, now: float, index: int, answer: Answer) -> None:
        """With a text, which is the one expected or not."""
        sound, expected = self._sounds[index], self._texts[index]
        if expected is None:
            self._texts[index] = expected = answer.text
        right = _bare(answer.text) == _bare(expected)
        if not right and due >= self._warm_up and len(self.examples) < _MOST_EXAMPLES:
            self.examples.append({"audio": sound.name, "expected": expected, "found": answer.text})
        self._add(due, now, OK if right else WRONG, sound.seconds, answer)

    def refused(self, due: float, now: float, code: str) -> None:
        """For want of room."""
        if due >= self._warm_up:
            self._refusals[code] += 1
        self._add(due, now, REFUSED)

    def failed(self, due: float, now: float, error: FailedError) -> None:
        """Without a text."""
        if due >= self._warm_up:
            self._failures[error.kind] += 1
            self.details.setdefault(error.kind, error.detail)
        self._add(due, now, FAILED)

    def close(self, end: float, *, interrupted: bool) -> None:
        """No more is sent since ``end``."""
        self._end, self.interrupted = end, interrupted

    def counts(self) -> tuple[int, int, int]:
        """So far: answered, refused, and failed or answered wrong."""
        ok, refused, failed, wrong = np.bincount(np.asarray(self._outcome), minlength=4)
        return int(ok), int(refused), int(failed + wrong)

    def summary(self, *, streams: bool) -> dict[str, Any]:
        """Of what was due in the time that counts."""
        due, ended, outcome = map(np.asarray, (self._due, self._ended, self._outcome))
        counted = due >= self._warm_up
        right = counted & (outcome == OK)
        seconds = max(self._end - self._warm_up, 0.0)
        audio = float(np.asarray(self._seconds)[right].sum())
        waited = (ended - due)[right]
        number = {
            name: int((counted & (outcome == code)).sum())
            for name, code in (("ok", OK), ("refused", REFUSED), ("failed", FAILED))
        }
        wrong = int((counted & (outcome == WRONG)).sum())
        open_ = self._sent[True] - int(counted.sum())
        found: dict[str, Any] = {
            "seconds": seconds,
            "interrupted": self.interrupted,
            "warm_up": {
                "seconds": self._warm_up,
                "requests": self._sent[False],
                "not_ok": int((~counted & (outcome != OK)).sum()),
            },
            "requests": {
                "sent": self._sent[True],
                **number,
                "wrong": wrong,
                "unfinished": open_,
                "unsent": self.unsent,
            },
            "refused": dict(self._refusals.most_common()),
            "failed": {
                kind: {"count": count, "example": self.details[kind]}
                for kind, count in self._failures.most_common()
            },
            "wrong": self.examples,
            "throughput": {
                "requests_per_second": number["ok"] / seconds if seconds else None,
                "audio_seconds": audio,
                "times_real_time": audio / seconds if seconds else None,
                "rtf": float(waited.sum()) / audio if audio else None,
            },
            "latency": latency(waited),
        }
        headline = ended - due
        if streams:
            first, finish = np.asarray(self._first), np.asarray(self._finish)
            found["first_text"] = latency(first[right & ~np.isnan(first)])
            found["final_text"] = latency(finish[right])
            headline = finish
        found["series"] = self._series(ended, outcome, headline)
        return found

    def _add(
        self,
        due: float,
        now: float,
        outcome: int,
        seconds: float = 0.0,
        answer: Answer = _NO_ANSWER,
    ) -> None:
        self._due.append(due)
        self._ended.append(now)
        self._outcome.append(outcome)
        self._seconds.append(seconds)
        self._first.append(math.nan if answer.first is None else answer.first)
        self._finish.append(math.nan if answer.finish is None else answer.finish)

    def _series(
        self, ended: NDArray[Any], outcome: NDArray[Any], headline: NDArray[Any]
    ) -> dict[str, Any]:
        """By when requests ended, those of the warm-up too."""
        last = float(ended.max()) if len(ended) else 0.0
        width = max(1, math.ceil(last / _BINS))
        where = (ended / width).astype(int)
        points: list[list[float | None]] = []
        for at in range(where.max() + 1 if len(where) else 0):
            here = where == at
            times = headline[here & (outcome == OK)]
            spread: list[float | None] = [None] * 3
            if len(times):
                spread = [*np.percentile(times, (50, 95)).tolist(), float(times.max())]
            kinds = np.bincount(outcome[here], minlength=4).tolist()
            points.append([at * width, *kinds, *spread])
        columns = ["second", "ok", "refused", "failed", "wrong", "p50", "p95", "max"]
        return {"interval": width, "columns": columns, "points": points}


def _bare(text: str) -> str:
    """Without blanks: protocols differ in those between utterances."""
    return "".join(text.split())
