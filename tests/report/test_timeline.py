"""Values over time are where the plots put them."""

from __future__ import annotations

import re

import pytest

from asrpack.report import timeline
from asrpack.report.timeline import Panel, Series, over_time


def places(panel: Panel) -> list[tuple[float, float]]:
    return [
        (float(x), float(y))
        for line in panel.lines
        for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", line.path)
    ]


def test_later_is_right_more_is_above_and_a_gap_interrupts() -> None:
    series = Series("a", "first", [1, 2, 3, 4, 5], [1.0, 2.0, None, 4.0, 0.0])
    panel = over_time("t", "s", [series], end=6, settled=2)
    found = places(panel)
    assert [x for x, _ in found] == sorted(x for x, _ in found) and len(found) == 4
    assert sorted(range(4), key=lambda at: -found[at][1]) == [3, 0, 1, 2]
    assert re.sub("[-0-9. ]", "", panel.lines[0].path) == "MhLMhL"
    assert found[3][1] == timeline.HEIGHT - timeline.BOTTOM
    assert panel.settled == found[1][0]


@pytest.mark.parametrize("values", [[], [0.0], [None, None], [1e-9, 2e-9], [1e12, 0.0]])
def test_all_is_inside(values: list[float | None]) -> None:
    panel = over_time(
        "t", "s", [Series("a", "first", range(len(values)), values)], end=9, settled=0
    )
    assert len(places(panel)) == sum(value is not None for value in values)
    for x, y in places(panel):
        assert timeline.LEFT <= x <= timeline.WIDTH - timeline.RIGHT
        assert timeline.TOP <= y <= timeline.HEIGHT - timeline.BOTTOM
    assert panel.settled == timeline.LEFT
