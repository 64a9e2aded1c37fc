"""Where candidates stand in size, speed and error: the geometry of the plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asrpack.report.axis import Axis, Tick

WIDTH, HEIGHT = 380, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 28, 16, 40
_LETTER, _LINE = 6.3, 13.0  # px of a label's letters
_LONGEST = 26
# No axis is stretched so far that noise looks like a difference.
_LEAST_RATIO, _LEAST_ERROR = 0.4, 0.004


@dataclass(frozen=True)
class Candidate:
    """What is compared.

    Attributes:
        size: relative to fp32's.
        speedup: over fp32.
        error: error rate, as a fraction.
        role: ``baseline``, ``chosen`` or ``other``.
    """

    name: str
    size: float
    speedup: float
    error: float
    role: str = "other"


@dataclass(frozen=True)
class Label:
    """A name beside its mark."""

    x: float
    y: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Mark:
    """A candidate's place; ``best`` where no other is better in one way and as good in the rest."""

    x: float
    y: float
    candidate: Candidate
    best: bool
    label: Label | None


@dataclass(frozen=True)
class Panel:
    """One plot. ``limit`` is the px of the error that the search had to stay under."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    limit: float | None


def size_and_error(candidates: Sequence[Candidate], limit: float | None = None) -> Panel:
    """Size along x, error along y. ``limit``: the highest error allowed."""
    return _panel(candidates, [item.size for item in candidates], limit)


def speed_and_error(candidates: Sequence[Candidate], limit: float | None = None) -> Panel:
    """Speed along x, error along y."""
    return _panel(candidates, [item.speedup for item in candidates], limit)


def best_of(candidates: Sequence[Candidate]) -> list[bool]:
    """Which are on the Pareto front of size, speed and error."""
    costs = [(item.size, -item.speedup, item.error) for item in candidates]
    return [
        not any(
            other != own and all(o <= c for o, c in zip(other, own, strict=True)) for other in costs
        )
        for own in costs
    ]


def _panel(candidates: Sequence[Candidate], across: Sequence[float], limit: float | None) -> Panel:
    errors = [item.error for item in candidates]
    x = _axis(across, LEFT, WIDTH - RIGHT, _LEAST_RATIO)
    y = _axis([*errors, *(() if limit is None else (limit,))], HEIGHT - BOTTOM, TOP, _LEAST_ERROR)
    places = [(x(a), y(e)) for a, e in zip(across, errors, strict=True)]
    line = None if limit is None else y(limit)
    labels = _labels(candidates, places, line)
    marks = [
        Mark(*place, item, best, label)
        for place, item, best, label in zip(
            places, candidates, best_of(candidates), labels, strict=True
        )
    ]
    # The chosen one is drawn last, on top.
    marks.sort(key=lambda mark: ("other", "baseline", "chosen").index(mark.candidate.role))
    return Panel(x.ticks, y.ticks, tuple(marks), line)


def _axis(values: Sequence[float], start: float, end: float, least: float) -> Axis:
    """With room at both ends, over ``least`` or more."""
    low, high = min(values), max(values)
    room = max((high - low) * 0.12, (least - (high - low)) / 2)
    return Axis(max(0.0, low - room), high + room, start, end)


def _labels(
    candidates: Sequence[Candidate], places: Sequence[tuple[float, float]], line: float | None
) -> list[Label | None]:
    """Names where there is room for them, the chosen one's and fp32's first.

    Args:
        line: px of what must not be written over, from side to side.
    """
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    if line is not None:
        taken.append((LEFT, line - 1, WIDTH, line + 1))
    order = sorted(range(len(places)), key=lambda index: candidates[index].role == "other")
    found: list[Label | None] = [None] * len(places)
    for index in order:
        name = candidates[index].name
        text = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
        for label, box in _tries(*places[index], text):
            left, top, right, bottom = box
            inside = left >= LEFT and right <= WIDTH and top >= 0 and bottom <= HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                found[index] = label
                taken.append(box)
                break
    return found


_Box = tuple[float, float, float, float]


def _tries(x: float, y: float, text: str) -> Iterator[tuple[Label, _Box]]:
    width = len(text) * _LETTER
    for dx, dy, anchor in (
        (13, 4, "start"),
        (-13, 4, "end"),
        (0, -13, "middle"),
        (0, 22, "middle"),
    ):
        left = x + dx - {"start": 0.0, "end": width, "middle": width / 2}[anchor]
        top = y + dy - _LINE + 3
        yield (
            Label(round(x + dx, 1), round(y + dy, 1), anchor, text),
            (left, top, left + width, top + _LINE),
        )


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
