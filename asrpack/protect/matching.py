"""Which of a suspect's tensors is which matrix of the original, by their numbers alone.

Names are not looked at: whoever passes a model on may change them. Tensors that stand as the
original's do are told by correlation, all at once; what is left is tried with rows and columns
rearranged, the pairs with the most similar singular values first, which no order changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from asrpack.protect.alignment import Aligned, balanced, in_place, rearranged
from asrpack.protect.watermark import Floats

# Correlation of balanced matrices. Fp16 to int4, pruning of 60 % and noise of 10 % leave 0.88 and
# more, half of the numbers 0.7; an unrelated matrix, rows and columns chosen for it, stays below
# 0.2.
IN_PLACE = 0.6
ALIGNED = 0.5
# Tensors that one matrix is tried with, the most similar first.
MAX_TRIES = 6


@dataclass(frozen=True)
class Match:
    """One matrix of the original and what it is in the suspect.

    Attributes:
        name: the original's.
        tensor: the suspect's name of it.
        transposed: whether it was stored ``(out, in)``.
    """

    name: str
    tensor: str
    transposed: bool
    aligned: Aligned


@dataclass(frozen=True)
class _Candidate:
    tensor: str
    values: Floats
    transposed: bool


def match(
    original: Mapping[str, Floats], suspect: Mapping[str, NDArray[np.floating]]
) -> list[Match]:
    """Pairs of matrices, in the order of the original's names; each tensor at most once.

    Args:
        original: ``(in, out)`` matrices by name.
        suspect: matrices by name, in either orientation; numbers that are not finite count as
            pruned.
    """
    found: list[Match] = []
    for shape in dict.fromkeys(original[name].shape for name in sorted(original)):
        wanted = {
            name: original[name] for name in sorted(original) if original[name].shape == shape
        }
        found += _of_one_shape(wanted, list(_candidates(suspect, shape)))
    return sorted(found, key=lambda item: item.name)


def _candidates(
    suspect: Mapping[str, NDArray[np.floating]], shape: tuple[int, ...]
) -> Iterator[_Candidate]:
    for name, array in suspect.items():
        for transposed in (False, True):
            turned = array.T if transposed else array
            if turned.shape == shape:
                finite = np.nan_to_num(turned, nan=0, posinf=0, neginf=0)
                if finite.any():
                    yield _Candidate(name, finite.astype(np.float32), transposed)


def _of_one_shape(wanted: dict[str, Floats], candidates: list[_Candidate]) -> list[Match]:
    found = []
    for name, item in _standing(wanted, candidates):
        aligned = in_place(wanted[name], item.values)
        found.append(Match(name, item.tensor, item.transposed, aligned))
    taken = {item.tensor for item in found}
    left = [item for item in candidates if item.tensor not in taken]
    names = [name for name in wanted if name not in {item.name for item in found}]
    if not left or not names:
        return found
    spectra = np.stack([_spectrum(item.values) for item in left])
    here = np.stack([_spectrum(wanted[name]) for name in names])
    # What happened to all of them, rounding for one, moved all their singular values.
    distance = np.linalg.norm(
        (here - here.mean(axis=0))[:, None] - (spectra - spectra.mean(axis=0))[None], axis=2
    )
    for row in distance.min(axis=1).argsort():
        for column in distance[row].argsort()[:MAX_TRIES]:
            item = left[column]
            if item.tensor in taken:
                continue
            aligned = rearranged(wanted[names[row]], item.values)
            if aligned.correlation >= ALIGNED:
                found.append(Match(names[row], item.tensor, item.transposed, aligned))
                taken.add(item.tensor)
                break
    return found


def _standing(
    wanted: dict[str, Floats], candidates: list[_Candidate]
) -> Iterator[tuple[str, _Candidate]]:
    """Pairs that correlate as they stand."""
    tensors = list(dict.fromkeys(item.tensor for item in candidates))
    likeness = np.zeros((len(wanted), len(tensors)), np.float32)
    best: dict[tuple[int, int], _Candidate] = {}
    here = [_unit(values) for values in wanted.values()]
    for item in candidates:
        column, there = tensors.index(item.tensor), _unit(item.values)
        for row, unit in enumerate(here):
            value = np.dot(unit, there)
            if (row, column) not in best or value > likeness[row, column]:
                likeness[row, column], best[row, column] = value, item
    names = list(wanted)
    for row, column in zip(*linear_sum_assignment(-likeness), strict=True):
        if likeness[row, column] >= IN_PLACE:
            yield names[row], best[int(row), int(column)]


def _unit(values: Floats) -> Floats:
    flat = balanced(values).reshape(-1)
    result: Floats = flat / np.linalg.norm(flat)
    return result


def _spectrum(values: Floats) -> NDArray[np.floating]:
    """Singular values of the balanced matrix, which neither order nor factors change."""
    lines = balanced(values if values.shape[0] <= values.shape[1] else values.T)
    squares = np.linalg.eigvalsh(lines.astype(np.float64) @ lines.T.astype(np.float64))
    result: NDArray[np.floating] = np.sqrt(np.maximum(squares, 0))
    return result
