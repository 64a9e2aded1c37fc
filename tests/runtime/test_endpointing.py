"""The three rules, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest

from asrpack.runtime.endpointing import Endpointing, SilenceMeter

BLANK, VOICE = np.log(0.95), np.log(0.5)
RULES = Endpointing(silence_before_text=2.0, silence_after_text=1.0, max_seconds=8.0)


def meter(*runs: tuple[int, float]) -> SilenceMeter:
    """Frames of 40 ms: (how many, log-probability of blank)."""
    found = SilenceMeter(RULES, 0.04)
    for count, value in runs:
        found.advance(np.full(count, value, np.float32))
    return found


@pytest.mark.parametrize(
    ("runs", "has_text", "ended"),
    [
        ([(49, BLANK)], False, False),
        ([(50, BLANK)], False, True),
        ([(10, VOICE), (24, BLANK)], True, False),
        ([(10, VOICE), (25, BLANK)], True, True),
        ([(10, VOICE), (25, BLANK)], False, False),
        ([(10, VOICE), (13, BLANK), (12, BLANK)], True, True),
        ([(10, VOICE), (25, BLANK), (1, VOICE)], True, False),
        ([(199, VOICE)], True, False),
        ([(200, VOICE)], False, True),
        ([(0, BLANK)], True, False),
    ],
)
def test_rules(runs: list[tuple[int, float]], has_text: bool, ended: bool) -> None:
    assert meter(*runs).ended(has_text) is ended


def test_silence_is_counted_from_the_last_voiced_frame_within_a_chunk() -> None:
    found = SilenceMeter(RULES, 0.04)
    found.advance(np.array([BLANK, VOICE, BLANK, BLANK], np.float32))
    found.advance(np.full(22, BLANK, np.float32))
    assert not found.ended(True)
    found.advance(np.full(1, BLANK, np.float32))
    assert found.ended(True)


def test_the_threshold_decides_what_is_silent() -> None:
    lenient = SilenceMeter(Endpointing(silence_after_text=1.0, blank_threshold=0.4), 0.04)
    lenient.advance(np.full(25, VOICE, np.float32))
    assert lenient.ended(True)
