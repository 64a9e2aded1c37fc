"""Who is on the front, and where the plots put them."""

from __future__ import annotations

import pytest

from asrpack.report import pareto
from asrpack.report.pareto import Candidate, best_of, size_and_error, speed_and_error

FP32 = Candidate("fp32", 1.0, 1.0, 0.010, "baseline")
INT8 = Candidate("int8", 0.3, 1.9, 0.016)
MIXED = Candidate("mixed", 0.35, 1.8, 0.011, "chosen")
WORSE = Candidate("worse", 0.4, 1.7, 0.012)


def test_the_front_is_of_size_speed_and_error_together() -> None:
    assert best_of([FP32, INT8, MIXED, WORSE]) == [True, True, True, False]
    # Larger, but faster than all.
    assert best_of([INT8, Candidate("fast", 0.9, 2.5, 0.02)]) == [True, True]
    assert best_of([INT8, INT8]) == [True, True]


def test_smaller_is_left_faster_is_right_fewer_errors_are_below() -> None:
    for panel, order in (
        (size_and_error([FP32, INT8, MIXED]), ["int8", "mixed", "fp32"]),
        (speed_and_error([FP32, INT8, MIXED]), ["fp32", "mixed", "int8"]),
    ):
        assert [m.candidate.name for m in sorted(panel.marks, key=lambda m: m.x)] == order
        below = [m.candidate.name for m in sorted(panel.marks, key=lambda m: -m.y)]
        assert below == ["fp32", "mixed", "int8"]
        assert panel.marks[-1].candidate == MIXED, "the chosen one is drawn last, on top"


@pytest.mark.parametrize(
    "candidates",
    [
        [FP32],
        [FP32, FP32],
        [Candidate("fp32", 1.0, 1.0, 0.0, "baseline"), Candidate("int8", 1.0, 1.0, 0.0, "chosen")],
        [FP32, Candidate("x" * 500, 0.3, 2.0, 1.7, "chosen")],
        [FP32, *(Candidate(f"c{n}", 0.3 + n / 400, 1.5, 0.012) for n in range(40))],
    ],
    ids=["one", "equal", "no errors", "long name", "crowd"],
)
def test_all_is_inside_and_labels_do_not_overlap(candidates: list[Candidate]) -> None:
    for panel in (size_and_error(candidates, 0.02), speed_and_error(candidates)):
        assert len(panel.marks) == len(candidates)
        for mark in panel.marks:
            assert pareto.LEFT <= mark.x <= pareto.WIDTH - pareto.RIGHT
            assert pareto.TOP <= mark.y <= pareto.HEIGHT - pareto.BOTTOM
        assert 2 <= len(panel.x_ticks) <= 8 and 2 <= len(panel.y_ticks) <= 8
        texts = [tick.px for tick in panel.x_ticks]
        assert texts == sorted(texts)
        labels = [mark.label for mark in panel.marks if mark.label]
        assert len({(label.x, label.y) for label in labels}) == len(labels)
        assert all(len(label.text) <= 26 for label in labels)


def test_noise_is_not_stretched_over_the_whole_axis() -> None:
    """Two models of nearly one speed stand nearly in one place."""
    panel = speed_and_error([FP32, Candidate("int8", 0.3, 1.02, 0.0101, "chosen")])
    one, other = panel.marks
    assert abs(one.x - other.x) < 0.1 * pareto.WIDTH
    assert abs(one.y - other.y) < 0.1 * pareto.HEIGHT
