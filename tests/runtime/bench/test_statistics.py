"""How memory grows."""

from __future__ import annotations

import pytest

from asrpack.runtime.bench.statistics import slope


def test_what_settles_in_the_first_quarter_is_no_growth() -> None:
    settling = [(float(second), 1000.0 + 8.0 * min(second, 25)) for second in range(101)]
    assert slope(settling) == pytest.approx(0.0)
    growing = [(second, size + 3.0 * second) for second, size in settling]
    assert slope(growing) == pytest.approx(3.0)


def test_a_quarter_is_of_what_was_seen() -> None:
    """Not of the time before the first sample."""
    samples = [(100.0 + second, 50.0 if second < 2 else 2.0 * second) for second in range(9)]
    assert slope(samples) == pytest.approx(2.0)


def test_too_few_say_nothing() -> None:
    assert slope([(0.0, 1.0), (1.0, 2.0), (4.0, 3.0)]) is None
