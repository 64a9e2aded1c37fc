"""Alignment against all paths there are, and the times and confidences made from it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.runtime.decoding import (
    ctc_align,
    ctc_greedy_search,
    nbest_confidence,
    unit_times,
)
from tests.runtime.test_ctc import path, posteriors


def spelt(alignment: list[int]) -> list[int]:
    """The places that an alignment visits, in order."""
    return [place for place, _ in itertools.groupby(alignment) if place >= 0]


@given(
    seed=st.integers(0, 10**6),
    frames=st.integers(1, 7),
    units=st.lists(st.integers(1, 2), max_size=4),
)
@settings(max_examples=150)
def test_no_path_is_likelier(seed: int, frames: int, units: list[int]) -> None:
    log_probs = posteriors(seed, frames, 3, 2.0)
    scores = [
        sum(float(log_probs[t, unit]) for t, unit in enumerate(candidate))
        for candidate in itertools.product(range(3), repeat=frames)
        if [unit for unit, _ in itertools.groupby(candidate) if unit] == units
    ]
    alignment = ctc_align(log_probs, units)
    if not scores:
        assert alignment is None
        return
    assert alignment is not None
    assert spelt(alignment.tolist()) == list(range(len(units)))
    on_path = [0 if place < 0 else units[place] for place in alignment]
    assert log_probs[np.arange(frames), on_path].sum() == pytest.approx(max(scores), abs=1e-4)


@given(seed=st.integers(0, 10**6), sharpness=st.sampled_from([0.5, 5.0]))
def test_times_are_in_order_and_within_the_audio(seed: int, sharpness: float) -> None:
    log_probs = posteriors(seed, 60, 6, sharpness)
    units, _ = ctc_greedy_search(log_probs)
    times = unit_times(log_probs, units, frame_shift=0.04, offset=1.0, duration=2.39)
    assert tuple(item.unit for item in times) == units
    edges = [edge for item in times for edge in (item.start, item.end)]
    assert edges == sorted(edges)
    assert all(1.0 <= edge <= 3.39 for edge in edges)
    assert all(0.0 <= item.confidence <= 1.0 for item in times)


def test_times_are_midpoints_between_spikes() -> None:
    log_probs = path(0, 1, 1, 1, 0, 2, 0, 0, 3, 0)  # spikes in frames 3, 5 and 8
    times = unit_times(log_probs, (1, 2, 3), frame_shift=0.04)
    assert [item.start for item in times] == pytest.approx([0, 4 * 0.04, 6.5 * 0.04])
    assert [item.end for item in times] == pytest.approx([4 * 0.04, 6.5 * 0.04, 10 * 0.04])


def test_confidence_is_the_largest_posterior_of_its_frames() -> None:
    log_probs = np.log(
        np.array([[0.9, 0.05, 0.05], [0.3, 0.6, 0.1], [0.3, 0.7, 0.0], [0.2, 0.0, 0.8]]) + 1e-9
    ).astype(np.float32)
    times = unit_times(log_probs, (1, 2), frame_shift=0.04)
    assert [item.confidence for item in times] == pytest.approx([0.7, 0.8], abs=1e-5)


def test_more_units_than_frames_share_the_time() -> None:
    times = unit_times(path(1, 2), (1, 1, 1, 2), frame_shift=0.04)
    assert [item.start for item in times] == pytest.approx([0, 0.02, 0.04, 0.06])
    assert [item.confidence for item in times] == [0.0] * 4


def test_nothing_to_align() -> None:
    assert unit_times(path(0, 0), (), frame_shift=0.04) == []
    empty = np.zeros((0, 5), np.float32)
    assert unit_times(empty, (), frame_shift=0.04) == []
    assert [item.end for item in unit_times(empty, (1,), frame_shift=0.04)] == [0.0]
    alignment = ctc_align(path(0, 0), ())
    assert alignment is not None
    assert alignment.tolist() == [-1, -1]


def test_confidence_among_the_nbest() -> None:
    assert nbest_confidence([]) == []
    assert nbest_confidence([-700.0]) == [1.0]
    assert nbest_confidence([np.log(0.6), np.log(0.2)]) == pytest.approx([0.75, 0.25])
    assert sum(nbest_confidence([-1e4, -1e4 - 1, -2e4])) == pytest.approx(1.0)
    assert nbest_confidence([-3.0, -np.inf]) == [1.0, 0.0]
