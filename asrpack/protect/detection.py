"""Whose mark is in a suspect's weights: informed detection of the Tardos-biased dither.

What the suspect's weights differ by from the vendor's unmarked original is scored, for every
registered customer, with the symmetric Tardos score. For anybody whose mark is *not* in the
suspect the score is N(0, 1) whatever the suspect is, since only the key is random; so a threshold
on z is a false-accusation probability.

Rows, columns and matrices must stand as in the original: :mod:`asrpack.protect.alignment` puts
them there.

Source: B. Skoric, S. Katzenbeisser, M. Celik, "Symmetric Tardos fingerprinting codes for
arbitrary alphabet sizes" (Designs, Codes and Cryptography 46, 2008).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import InputError
from asrpack.protect.watermark import THRESHOLDS, Floats, biases, channel_steps, chip_draws

ACCUSE_Z = 7.0
"""Score from which a customer is named: p about 1.3e-12 for one customer tested."""

_CLIP = 3.0
_ROUNDS = 2
# In int8 steps, a fraction of the mark: what has none at all must not outweigh the rest.
_LEAST_NOISE = 0.02
_P = THRESHOLDS / 65536
# Skoric's symmetric score for a positive residual; a negative one turns the sign.
_SCORE_PLUS = np.sqrt((1 - _P) / _P).astype(np.float32)
_SCORE_MINUS = -np.sqrt(_P / (1 - _P)).astype(np.float32)
# Weights at a time: what a customer's score reads and writes stays in the processor's cache.
_BLOCK = 1 << 16

Weights = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True)
class Score:
    """How strongly a suspect carries one customer's mark.

    Attributes:
        z: standard normal for anyone whose mark is not there.
        p: probability of such a z or more by chance, for one customer; multiply it by the
            number of customers tested. Never 0: the least number that a float can be.
    """

    customer: str
    z: float
    p: float


def detect(
    original: Weights, suspect: Weights, key: bytes, customers: Iterable[str]
) -> list[Score]:
    """Scores every customer against a suspect, the strongest first.

    Every position is used: 2.4 million weights cost about 3 ms a customer.

    Args:
        original: the vendor's unmarked matrices by name, ``(in, out)`` float.
        suspect: the suspect's, dequantized. Matrices that are missing or have another shape
            are passed over; the rest is scored.

    Raises:
        InputError: no matrix of the suspect compares with the original.
        KeyFileError: the key is not 32 bytes.
    """
    return Evidence(residuals(original, suspect), key).scores(customers)


def residuals(original: Weights, suspect: Weights) -> dict[str, Floats]:
    """What a suspect differs by, of each matrix that compares, over its variance.

    Raises:
        InputError: none compares.
    """
    found = {
        name: _residual(original[name], suspect[name])
        for name in sorted(original)
        if name in suspect and suspect[name].shape == original[name].shape
    }
    if not found:
        raise InputError(
            "no weight matrix of the suspect has the name and shape of one of the original",
            code="watermark-nothing-to-compare",
            remedy="pass the unmarked original of the same model",
        )
    return found


class Evidence:
    """A suspect's residuals under one vendor key, to score customers against."""

    def __init__(self, found: Mapping[str, Floats], key: bytes) -> None:
        """Args:
        found: from :func:`residuals`.
        key: the vendor's watermark key, 32 bytes.
        """
        self._key = key
        self._parts = {name: _Part(key, name, residual) for name, residual in found.items()}
        self._norm = math.sqrt(sum(float(np.vdot(item, item)) for item in found.values()))

    def scores(self, customers: Iterable[str]) -> list[Score]:
        """Of every customer, the strongest first."""
        found = []
        for customer in customers:
            z = self.z(customer)
            p = math.erfc(z / math.sqrt(2)) / 2
            found.append(Score(customer, z, max(p, sys.float_info.min)))
        return sorted(found, key=lambda score: (-score.z, score.customer))

    def z(self, customer: str) -> float:
        """Score of one customer; safe to call from several threads."""
        total = sum(
            part.score(self._key, customer, name) for name, part in sorted(self._parts.items())
        )
        return total / self._norm if self._norm else 0.0


def _residual(original: NDArray[np.floating], suspect: NDArray[np.floating]) -> Floats:
    step = channel_steps(original)
    step[step == 0] = np.inf  # a channel of zeros carries no mark
    residual: Floats = ((suspect - original) / step).astype(np.float32)
    # A weight that rounding does not explain and that is nearer to 0 than to itself was
    # pruned (and perhaps perturbed after that); its residual is the weight itself.
    pruned = (np.abs(suspect) < np.abs(original) / 2) & (np.abs(residual) > 1)
    residual[pruned] = 0
    residual[~np.isfinite(residual)] = 0
    # Rounding a matrix whose rows had been scaled is noise of another size in every row.
    noise = np.ones((1, 1), np.float32)
    for axis in (0, 1) * _ROUNDS:
        deviation = _deviation(residual, axis)
        residual /= deviation
        noise = noise * deviation
    np.clip(residual, -_CLIP, _CLIP, out=residual)
    # The matched filter divides by the variance: where the mark is drowned it counts for little.
    residual /= np.maximum(noise, _LEAST_NOISE)
    return residual


def _deviation(residual: Floats, axis: int) -> Floats:
    """Root mean square of what is not 0; 1 where nothing is."""
    squares = np.einsum("ij,ij->j" if axis == 0 else "ij,ij->i", residual, residual)
    kept = np.count_nonzero(residual, axis=axis)
    deviation = np.sqrt(squares / np.maximum(kept, 1))
    return np.expand_dims(np.where(deviation > 0, deviation, 1).astype(np.float32), axis)


class _Part:
    """One matrix of a suspect, reduced to what scoring a customer needs."""

    def __init__(self, key: bytes, name: str, residual: Floats) -> None:
        flat = residual.reshape(-1)
        drawn = biases(key, name, flat.size)
        minus = _SCORE_MINUS[drawn]
        # sum r*g = sum r*minus + sum over the customer's +1 of r*(plus - minus)
        self.base = float(np.dot(flat, minus))
        self.gain = flat * (_SCORE_PLUS[drawn] - minus)
        self.threshold = THRESHOLDS[drawn]

    def score(self, key: bytes, customer: str, name: str) -> float:
        cipher = chip_draws(key, customer, name)
        zeros, total = bytes(2 * _BLOCK), self.base
        for start in range(0, self.gain.size, _BLOCK):
            gain, threshold = (item[start : start + _BLOCK] for item in (self.gain, self.threshold))
            draws = np.frombuffer(cipher.update(zeros[: 2 * gain.size]), "<u2")
            total += float(np.dot(gain, (draws < threshold).astype(np.float32)))
        return total
