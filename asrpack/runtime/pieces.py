"""A recording of any length as pieces to recognise, cut where nobody speaks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from asrpack.runtime.audio import stream_audio
from asrpack.runtime.vad import WINDOW_SECONDS, SpeechDetector

LONGEST_SECONDS = 30.0


def longest_piece(max_seconds: float | None) -> float:
    """Seconds that a model recognises as a whole which takes ``max_seconds``; None: any number."""
    return LONGEST_SECONDS if max_seconds is None else min(LONGEST_SECONDS, max_seconds)


@dataclass(frozen=True)
class Cutting:
    """Where a recording is cut.

    Attributes:
        threshold: probability from which a window is speech.
        padding: seconds kept before and after speech.
        silence: seconds without speech that end a piece; more than ``padding``.
        shortest: seconds of speech below which there is none.
    """

    threshold: float = 0.5
    padding: float = 0.2
    silence: float = 0.5
    shortest: float = 0.1

    @property
    def silent_below(self) -> float:
        """Once there is speech it goes on down to this probability (Silero's hysteresis)."""
        return max(self.threshold - 0.15, 0.01)


@dataclass(frozen=True)
class Piece:
    """A stretch of a recording.

    Attributes:
        samples: shape (n,), on the int16 scale, at the rate asked for.
        start: seconds from the recording's beginning.
    """

    samples: NDArray[np.float32]
    start: float


class Recording:
    """Reads a recording piece by piece; iterate once, over it or its :meth:`steps`.

    One that is no longer than ``longest`` is one piece, as it is, unless ``cutting`` is given. Of a
    longer one the pieces are what was spoken between silences, and no longer than ``longest``; no
    more of it is in memory than that and a block.

    Args:
        source: as for :func:`asrpack.runtime.audio.stream_audio`.
        sample_rate: wanted, in Hz.
        longest: of a piece, in seconds.
        cutting: None: :class:`Cutting`'s defaults, for what is too long only.
        max_seconds, taker: as for :func:`asrpack.runtime.audio.stream_audio`.

    Attributes:
        seconds: read so far.
    """

    def __init__(
        self,
        source: Path | bytes | BinaryIO,
        sample_rate: int,
        *,
        longest: float = LONGEST_SECONDS,
        cutting: Cutting | None = None,
        max_seconds: float | None = None,
        taker: str = "this service",
    ) -> None:
        self._blocks = stream_audio(source, sample_rate, max_seconds=max_seconds, taker=taker)
        self._rate = sample_rate
        self._longest = longest
        self._cutting = cutting
        self._samples = 0

    @property
    def seconds(self) -> float:
        """Read so far."""
        return self._samples / self._rate

    def __iter__(self) -> Iterator[Piece]:
        """Raises InputError as :func:`asrpack.runtime.audio.stream_audio`."""
        return (piece for piece in self.steps() if piece is not None)

    def steps(self) -> Iterator[Piece | None]:
        """The pieces, and None whenever a block has been read.

        So no step takes long, whatever is in the file: in hours of silence there is no piece.

        Raises:
            InputError: as :func:`asrpack.runtime.audio.stream_audio`.
        """
        blocks = self._counted()
        if self._cutting is None:
            head: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
            for block in blocks:
                head.append(block)
                if self.seconds > self._longest:
                    break
                yield None
            else:
                yield Piece(np.concatenate(head), 0.0)
                return
            blocks = chain(head, blocks)
            del head
        cutter = _Cutter(self._rate, self._longest, self._cutting or Cutting())
        for block in blocks:
            yield from cutter.accept(block)
            yield None
        yield from cutter.accept(np.zeros(0, np.float32), last=True)

    def _counted(self) -> Iterator[NDArray[np.float32]]:
        for block in self._blocks:
            self._samples += len(block)
            yield block


class _Cutter:
    """Holds what may still be of a piece. Places are windows of the detector, from 0."""

    def __init__(self, rate: int, longest: float, cutting: Cutting) -> None:
        self._rate = rate
        self._detector = SpeechDetector(rate)
        self._cutting = cutting
        self._padding = round(cutting.padding / WINDOW_SECONDS)
        self._silence = max(1, round(cutting.silence / WINDOW_SECONDS))
        # The one window more is that a piece's ends are rounded to samples.
        self._longest = int(longest / WINDOW_SECONDS) - 1
        self._samples = np.zeros(0, np.float32)
        self._first = 0  # the recording's sample that self._samples begins with
        self._window = 0
        self._free = 0  # the first window that is of no piece yet
        self._start: int | None = None  # of the piece under way, with its padding
        self._speech = 0  # windows of it that are speech
        self._quiet: int | None = None  # where its present silence began
        self._probabilities: list[float] = []  # of it

    def accept(self, samples: NDArray[np.float32], *, last: bool = False) -> Iterator[Piece]:
        self._samples = np.concatenate([self._samples, samples])
        for probability in self._detector.accept(samples, last=last).tolist():
            if self._start is None and probability >= self._cutting.threshold:
                self._begin(max(self._free, self._window - self._padding))
            self._window += 1
            if self._start is not None and (end := self._end(probability)) is not None:
                yield from self._finish(end)
        if last and self._start is not None:
            # All that is left may be half a window less, or more, than the windows say.
            yield from self._finish(self._window + 1)
        # In a silence what may become padding is kept.
        keep = self._window - self._padding if self._start is None else self._start
        self._drop(max(self._free, keep))

    def _begin(self, start: int) -> None:
        self._start, self._speech, self._quiet = start, 0, None
        self._probabilities = [0.0] * (self._window - start)

    def _end(self, probability: float) -> int | None:
        """Where the piece ends, if this window ends it."""
        assert self._start is not None
        self._probabilities.append(probability)
        if probability >= self._cutting.silent_below:
            self._quiet = None
            self._speech += 1
        elif self._quiet is None:
            self._quiet = self._window - 1
        if self._quiet is not None and self._window - self._quiet >= self._silence:
            return min(self._quiet + self._padding, self._window)
        if self._window - self._start >= self._longest:
            return self._start + self._least_spoken()
        return None

    def _least_spoken(self) -> int:
        """Where in its second half a piece that is too long is cut: amid what is least speech."""
        probabilities = np.array(self._probabilities)
        half = len(probabilities) // 2
        smooth = np.convolve(probabilities, np.ones(5) / 5, "same")[half:-1]
        return half + 1 + int(smooth.argmin())

    def _finish(self, end: int) -> Iterator[Piece]:
        assert self._start is not None
        start, after = self._start, self._probabilities[end - self._start :]
        if self._speech * WINDOW_SECONDS >= self._cutting.shortest:
            at, until = self._sample(start), self._sample(end)
            cut = self._samples[at - self._first : until - self._first].copy()
            yield Piece(cut, at / self._rate)
        self._start, self._free = None, end
        if any(item >= self._cutting.threshold for item in after):  # it was cut amid speech
            self._begin(end)
            self._probabilities = after
            self._speech = sum(item >= self._cutting.silent_below for item in after)

    def _sample(self, window: int) -> int:
        return round(window * WINDOW_SECONDS * self._rate)

    def _drop(self, window: int) -> None:
        first = max(self._first, self._sample(window))
        self._samples = self._samples[first - self._first :].copy()
        self._first = first
