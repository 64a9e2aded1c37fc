"""When an utterance is over: three rules on how long nothing was said.

After WeNet's ``ctc_endpoint.h`` and Kaldi's ``online-endpoint.h``, with WeNet's defaults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Endpointing:
    """An utterance ends where one of the rules holds. Silence is what CTC calls blank.

    Attributes:
        silence_before_text: seconds of silence while nothing was recognised.
        silence_after_text: seconds of silence after something was.
        max_seconds: the longest utterance, silence or not.
        blank_threshold: probability of blank above which a frame is silent.
    """

    silence_before_text: float = 5.0
    silence_after_text: float = 1.0
    max_seconds: float = 20.0
    blank_threshold: float = 0.8


class SilenceMeter:
    """Counts the frames of one utterance, and those of the silence at its end.

    Args:
        rules: when it is over.
        frame_seconds: from one encoder frame to the next.
    """

    def __init__(self, rules: Endpointing, frame_seconds: float) -> None:
        self._rules = rules
        self._frame_seconds = frame_seconds
        self._frames = 0
        self._silent = 0

    def advance(self, blank_log_probs: NDArray[np.float32]) -> None:
        """Takes the log-probability of blank of the next frames, shape (T,)."""
        voiced = np.flatnonzero(blank_log_probs <= math.log(self._rules.blank_threshold))
        count = len(blank_log_probs)
        self._frames += count
        self._silent = count - 1 - int(voiced[-1]) if len(voiced) else self._silent + count

    def ended(self, has_text: bool) -> bool:
        """Whether the utterance is over; ``has_text`` where something was recognised."""
        rules = self._rules
        silence = rules.silence_after_text if has_text else rules.silence_before_text
        return (
            self._silent * self._frame_seconds >= silence
            or self._frames * self._frame_seconds >= rules.max_seconds
        )
