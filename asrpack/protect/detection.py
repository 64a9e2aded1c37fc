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
from collections.abc import Iterable, Mapping, Sequence
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
# Customers at a time, and numbers of theirs: these stay in the processor's cache.
_TOGETHER = 16
_BLOCK = 1 << 18

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
    return Evidence([residuals(original, suspect)], key).scores(customers)


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
    """Suspects' residuals under one vendor key, to score customers against."""

    def __init__(self, suspects: Sequence[Mapping[str, Floats]], key: bytes) -> None:
        """Args:
        suspects: one or several of one original, each from :func:`residuals`.
        key: the vendor's watermark key, 32 bytes.
        """
        self._key = key
        shapes = {name: item.shape for found in suspects for name, item in found.items()}
        self._parts = {
            name: _Part(
                key, name, [found.get(name, np.zeros(shape, np.float32)) for found in suspects]
            )
            for name, shape in sorted(shapes.items())
        }
        squares = [sum(float(np.vdot(r, r)) for r in found.values()) for found in suspects]
        self._norms = np.sqrt(squares)

    def scores(self, customers: Iterable[str]) -> list[Score]:
        """Of every customer, the strongest first, against the only suspect."""
        names = list(customers)
        found = []
        for customer, (z,) in zip(names, self.z(names).tolist(), strict=True):
            p = math.erfc(z / math.sqrt(2)) / 2
            found.append(Score(customer, z, max(p, sys.float_info.min)))
        return sorted(found, key=lambda score: (-score.z, score.customer))

    def z(self, customers: Sequence[str]) -> NDArray[np.float64]:
        """Scores, ``(customers, suspects)``; safe to call from several threads.

        A customer's +-1 are drawn once for all suspects.
        """
        totals = np.zeros((len(customers), self._norms.size))
        for start in range(0, len(customers), _TOGETHER):
            some = customers[start : start + _TOGETHER]
            for name, part in self._parts.items():
                totals[start : start + _TOGETHER] += part.score(self._key, some, name)
        return totals / np.where(self._norms > 0, self._norms, 1)


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
    """One matrix of the suspects, reduced to what scoring a customer needs."""

    def __init__(self, key: bytes, name: str, residuals: Sequence[Floats]) -> None:
        flat = np.stack([item.reshape(-1) for item in residuals]).astype(np.float32, copy=False)
        drawn = biases(key, name, flat.shape[1])
        minus = _SCORE_MINUS[drawn]
        # sum r*g = sum r*minus + sum over the customer's +1 of r*(plus - minus)
        self.base = flat @ minus
        self.gain = flat * (_SCORE_PLUS[drawn] - minus)
        self.threshold = THRESHOLDS[drawn]

    def score(self, key: bytes, customers: Sequence[str], name: str) -> NDArray[np.float64]:
        """Of each customer against each suspect."""
        ciphers = [chip_draws(key, customer, name) for customer in customers]
        total = np.tile(self.base.astype(np.float64), (len(customers), 1))
        block = _BLOCK // len(customers)
        zeros, size = bytes(2 * block), self.gain.shape[1]
        for start in range(0, size, block):
            threshold = self.threshold[start : start + block]
            plus = np.empty((len(customers), threshold.size), np.float32)
            for row, cipher in zip(plus, ciphers, strict=True):
                draws = np.frombuffer(cipher.update(zeros[: 2 * threshold.size]), "<u2")
                row[:] = draws < threshold
            total += plus @ self.gain[:, start : start + block].T
        return total
