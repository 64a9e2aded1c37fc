"""Values over time: the geometry of the plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asrpack.report.axis import Axis, Tick

WIDTH, HEIGHT = 760, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 20, 34
_HEADROOM = 1.08


@dataclass(frozen=True)
class Series:
    """Values at ``seconds``; None where there is none, which interrupts the line.

    Attributes:
        kind: how it is drawn, a class of the style sheet.
    """

    name: str
    kind: str
    seconds: Sequence[float]
    values: Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """A series as an SVG path: a command a value."""

    name: str
    kind: str
    path: str


@dataclass(frozen=True)
class Panel:
    """One plot. ``settled`` is the px of the end of warm-up."""

    title: str
    unit: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    settled: float


def over_time(
    title: str, unit: str, series: Sequence[Series], *, end: float, settled: float
) -> Panel:
    """Seconds along x up to ``end``, values from 0 along y."""
    known = [value for item in series for value in item.values if value is not None]
    x = Axis(0.0, end, LEFT, WIDTH - RIGHT)
    y = Axis(0.0, max(known, default=0.0) * _HEADROOM or 1.0, HEIGHT - BOTTOM, TOP)
    lines = tuple(Line(item.name, item.kind, _path(item, x, y)) for item in series)
    return Panel(title, unit, x.ticks, y.ticks, lines, x(settled))


def _path(series: Series, x: Axis, y: Axis) -> str:
    parts, drawing = [], False
    for second, value in zip(series.seconds, series.values, strict=True):
        if value is not None:
            # A value alone is a dot: a line to itself, with a round end.
            parts.append(f"{'L' if drawing else 'M'}{x(second)} {y(value)}")
            if not drawing:
                parts.append("h0")
        drawing = value is not None
    return "".join(parts)
