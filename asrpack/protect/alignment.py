"""Puts a suspect's matrix in the order and the scale of the original.

A network computes the same when the rows and columns of its matrices change places or are scaled,
as long as its other matrices follow; a mark is then at other positions. Here one matrix is held
against its original alone:

1. Both are balanced, so that every row and every column is of one size (Sinkhorn, Knopp): factors
   of rows and columns are gone then.
2. Rows are told by their sorted magnitudes, which no order of the columns changes. What is common
   to all rows is taken off first. Two ways: by the larger half, which noise hardly moves; and by
   the largest alone, balanced by the greatest, which pruning does not reach even where lines had
   been scaled before it. Either need only tell some of the rows.
3. With rows that are told, columns are told by their numbers; with those, rows again, until all
   are. Lines count as told where each is the other's best match.
4. Signs of rows and columns, then their factors, are fitted to what neither pruning nor an outlier
   explains.

Telling vertices by sorted weights and going on from some of them is how noisy graphs are matched:
J. Ding, Z. Ma, Y. Wu, J. Xu, "Efficient random graph matching via degree profiles" (Probability
Theory and Related Fields 179, 2021).

Nothing here knows a key or a customer, so a customer's score stays N(0, 1) by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from asrpack.protect.watermark import Floats

Order = NDArray[np.intp]

_BALANCING_ROUNDS = 8
_FITTING_ROUNDS = 3
_PLACING_ROUNDS = 8
# Share of a line that tells it: of what pruning by half leaves, and of what it leaves of most lines
# where they had been scaled before.
_LARGER, _LARGEST = 0.45, 0.15
# Of the largest: those that say how large a line is, and directions in which lines differ.
_GREATEST, _DIRECTIONS = 3, 16
# Correlation of magnitudes, means taken off: of wrong orders, the best of many, below 0.2.
_PLACED = 0.4
# The exact assignment takes cubic time; what more than this many have in doubt is not worth it.
_MAX_ASSIGNED = 2048


@dataclass(frozen=True)
class Aligned:
    """A suspect's matrix as the original has it.

    Attributes:
        values: ``(in, out)``, in the original's order, signs and scale.
        correlation: of the balanced matrices, 1 for a copy.
        moved: how many rows and columns stood elsewhere.
        flipped: how many rows and columns had another sign.
        factors: least and greatest factor that was taken off, of rows and columns together.
    """

    values: Floats
    correlation: float
    moved: int
    flipped: int
    factors: tuple[float, float]


def balanced(matrix: NDArray[np.floating]) -> Floats:
    """The matrix with rows and columns scaled so that the squares of each have mean 1."""
    greatest = float(np.abs(matrix).max(initial=0.0))
    result = np.array(matrix / (greatest or 1.0), np.float32)
    for _ in range(_BALANCING_ROUNDS):
        result /= _nonzero(np.sqrt(np.einsum("ij,ij->i", result, result) / result.shape[1]))[
            :, None
        ]
        result /= _nonzero(np.sqrt(np.einsum("ij,ij->j", result, result) / result.shape[0]))
    return result


def balanced_by_greatest(matrix: NDArray[np.floating]) -> Floats:
    """Magnitudes, with rows and columns scaled so that the greatest of each have mean 1.

    What was pruned, even after rows and columns had been scaled, does not count there.
    """
    result: Floats = np.abs(matrix).astype(np.float32)
    result /= result.max(initial=0.0) or 1.0
    for _ in range(_BALANCING_ROUNDS):
        for axis in (1, 0):
            rest = max(0, result.shape[axis] - _GREATEST)
            ordered = np.partition(result, rest - 1 if rest else 0, axis=axis)
            greatest = ordered[:, rest:] if axis else ordered[rest:]
            result /= _nonzero(greatest.mean(axis=axis, keepdims=True))
    return result


def correlation(one: Floats, other: Floats) -> float:
    """Of two matrices of one shape, without taking off their means."""
    norm = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(np.vdot(one, other)) / norm if norm else 0.0


def in_place(original: Floats, suspect: Floats) -> Aligned:
    """Scales a matrix whose rows and columns stand where the original's do.

    Args:
        original: ``(in, out)``.
        suspect: of the same shape; finite.
    """
    rows, columns = np.arange(original.shape[0]), np.arange(original.shape[1])
    return _fitted(original, suspect, balanced(original), balanced(suspect), rows, columns)


def rearranged(original: Floats, suspect: Floats) -> Aligned:
    """Finds the order of rows and columns, then scales; arguments as :func:`in_place`."""
    here, there = balanced(original), balanced(suspect)
    rows, columns = _orders(original, suspect, np.abs(here), np.abs(there))
    return _fitted(original, suspect, here, there, rows, columns)


def _orders(original: Floats, suspect: Floats, here: Floats, there: Floats) -> tuple[Order, Order]:
    """Which row and which column of the suspect is each one of the original.

    Args:
        here, there: magnitudes of the two, balanced.
    """
    if original.shape[0] > original.shape[1]:  # the longer lines tell more
        columns, rows = _orders(original.T, suspect.T, here.T, there.T)
        return rows, columns
    found = _placed(here, there, _by_larger)
    if found[0] < _PLACED:
        greatest = balanced_by_greatest(original), balanced_by_greatest(suspect)
        found = max(found, _placed(*greatest, _by_largest), key=lambda item: item[0])
    return found[1:]


def _by_larger(here: Floats, there: Floats) -> Floats:
    """How like the rows of two matrices of magnitudes are, ``(rows, rows)``."""
    one, other = (_spread(lines, _LARGER) for lines in (here, there))
    return _unit(one) @ _unit(other).T


def _by_largest(here: Floats, there: Floats) -> Floats:
    """As :func:`_by_larger`; every direction in which the rows of ``here`` differ counts alike."""
    one, other = (_spread(lines, _LARGEST) for lines in (here, there))
    _, sizes, directions = np.linalg.svd(one, full_matrices=False)
    kept = (directions[:_DIRECTIONS].T / _nonzero(sizes[:_DIRECTIONS])).astype(np.float32)
    return _unit(one @ kept) @ _unit(other @ kept).T


def _spread(lines: Floats, share: float) -> Floats:
    """The largest of each line, sorted, without what all lines have in common."""
    ordered = np.sort(lines, axis=1)[:, -max(1, round(share * lines.shape[1])) :]
    result: Floats = ordered - ordered.mean(axis=0)
    return result


def _unit(lines: Floats) -> Floats:
    result: Floats = lines / _nonzero(np.linalg.norm(lines, axis=1))[:, None]
    return result


def _placed(
    here: Floats, there: Floats, likeness: Callable[[Floats, Floats], Floats]
) -> tuple[float, Order, Order]:
    """The orders that a first guess leads to, and the correlation that they give."""
    rows_alike, columns_alike = likeness(here, there), likeness(here.T, there.T)
    # A line's magnitudes are of about the same mean; what differs is how they are spread.
    here, there = here - here.mean(), there - there.mean()
    rows, told = _told(rows_alike)
    for _ in range(_PLACING_ROUNDS):
        before = rows[told]
        columns_like = _sum(here[told].T @ there[rows[told]], columns_alike)
        columns, columns_told = _told(columns_like)
        rows_like = _sum(here[:, columns_told] @ there[:, columns[columns_told]].T, rows_alike)
        rows, told = _told(rows_like)
        if np.array_equal(rows[told], before):
            break
    rows, columns = _assigned(rows_like), _assigned(columns_like)
    return correlation(here, there[np.ix_(rows, columns)]), rows, columns


def _sum(one: Floats, other: Floats) -> Floats:
    """Of two measures of likeness that are independent where lines are not the same."""
    return one / _nonzero(one.std()) + other / _nonzero(other.std())


def _told(likeness: Floats) -> tuple[Order, NDArray[np.bool_]]:
    """The most like of each line, and whether it is so from both sides."""
    best, back = likeness.argmax(axis=1), likeness.argmax(axis=0)
    return best, back[best] == np.arange(len(best))


def _assigned(likeness: Floats) -> Order:
    """For each line the one most like it, each taken once."""
    best, told = _told(likeness)
    order = np.where(told, best, -1)
    open_here = np.flatnonzero(~told)
    open_there = np.setdiff1d(np.arange(len(best)), best[told])
    if 0 < open_here.size <= _MAX_ASSIGNED:
        one, other = linear_sum_assignment(-likeness[np.ix_(open_here, open_there)])
        order[open_here[one]] = open_there[other]
    else:
        order[open_here] = open_there
    return order


def _fitted(
    original: Floats, suspect: Floats, here: Floats, there: Floats, rows: Order, columns: Order
) -> Aligned:
    grid = np.ix_(rows, columns)
    there = there[grid]
    row_signs, column_signs = _signs(here * there)
    signs = np.outer(row_signs, column_signs)
    size = float(np.abs(suspect).max()) / (float(np.abs(original).max()) or 1.0)
    values = (suspect[grid] / np.float64(size) * signs).astype(np.float32)
    row_factors, column_factors = _factors(original, values)
    values /= np.outer(row_factors, column_factors)
    together = (
        row_factors.min() * column_factors.min() * size,
        row_factors.max() * column_factors.max() * size,
    )
    return Aligned(
        values,
        correlation(here, there * signs),
        int(np.sum(rows != np.arange(rows.size)) + np.sum(columns != np.arange(columns.size))),
        int(np.sum(row_signs < 0) + np.sum(column_signs < 0)),
        (float(together[0]), float(together[1])),
    )


def _signs(products: Floats) -> tuple[Floats, Floats]:
    """Of rows and columns, from the products of numbers that belong together."""
    columns = np.ones(products.shape[1], np.float32)
    if np.sum(products) < 0.5 * np.sum(np.abs(products)):
        columns = _sign(products[np.abs(products).sum(axis=1).argmax()])
    for _ in range(_FITTING_ROUNDS):
        rows = _sign(products @ columns)
        columns = _sign(rows @ products)
    if rows.sum() < 0:  # both turned are the same matrix
        return -rows, -columns
    return rows, columns


def _factors(original: Floats, suspect: Floats) -> tuple[Floats, Floats]:
    """What rows and columns of the suspect were multiplied by.

    Fitted to numbers far enough from 0 to tell, leaving out the pruned ones.
    """
    large = np.abs(original) > np.sqrt(np.mean(np.square(original), axis=0, dtype=np.float64)) / 2
    ratio = np.where(large & (suspect != 0), suspect, np.nan) / np.where(large, original, 1)
    rows = np.ones(original.shape[0], np.float32)
    with np.errstate(all="ignore"):
        columns = _factor(_median(ratio, axis=0))
        for _ in range(_FITTING_ROUNDS):
            rows = _factor(_median(ratio / columns, axis=1))
            columns = _factor(_median(ratio / rows[:, None], axis=0))
    for _ in range(_FITTING_ROUNDS):
        # Least squares over what lies near: a number further off was pruned or is an outlier.
        scaled = suspect / np.outer(rows, columns)
        near = np.abs(scaled - original) < np.abs(original) / 2
        kept = np.where(near, original, 0)
        rows = rows * _factor(_slope(np.where(near, scaled, 0), kept, "ij,ij->i"))
        scaled = suspect / np.outer(rows, columns)
        columns = columns * _factor(_slope(np.where(near, scaled, 0), kept, "ij,ij->j"))
    return rows, columns


def _slope(values: Floats, on: Floats, axes: str) -> Floats:
    result: Floats = np.einsum(axes, values, on) / _nonzero(np.einsum(axes, on, on))
    return result


def _median(ratio: NDArray[np.floating], axis: int) -> Floats:
    """Of what is not NaN; NaN where nothing is."""
    ordered = np.sort(ratio, axis=axis)  # NaN comes last
    middle = np.maximum(np.sum(~np.isnan(ratio), axis=axis) - 1, 0) // 2
    result: Floats = np.take_along_axis(ordered, np.expand_dims(middle, axis), axis=axis).squeeze(
        axis
    )
    return result


def _factor(values: Floats) -> Floats:
    """Factors that can be divided by: 1 for a row or column that tells nothing."""
    usable = np.isfinite(values) & (np.abs(values) > 1e-20)
    return np.where(usable, values, 1).astype(np.float32)


def _sign(values: Floats) -> Floats:
    return np.where(values < 0, -1, 1).astype(np.float32)


def _nonzero(values: Floats) -> Floats:
    return np.where(values > 0, values, 1).astype(np.float32)
