"""Tardos-biased keyed dither: a customer's mark in a network's weights, and its detection.

Marking adds to every weight of a matrix a customer's +-1, scaled to a small fraction of the
int8 step of the weight's output channel::

    w' = w + strength * step * (x - mean of x over the channel),  step = max|channel| / 127

and for an int8 graph the same sum is what gets rounded, with the scales of the unmarked build:
``round(w / step + strength * (x - mean))``. Only weights near a rounding boundary move, and no
second run of the quantizer is needed. In weights of blocks, int8 and int4, the step is the
block's own: a mark in steps of a channel's int8 would drown in the rounding to 4 bits, and in
steps of the grid it adds to the rounding noise what it adds at 8 bits, 12 * strength**2 of it.

The +-1 are a Tardos code: the vendor's key draws a bias p per weight (arcsine density, cut off
at 0.05), the key and the customer's name together draw x = +1 with probability p. Detection is
informed: the residual of a suspect against the vendor's unmarked original is scored, for every
registered customer, with the symmetric Tardos score. For anybody whose mark is *not* in the
suspect the score is N(0, 1) whatever the suspect is, since only the key is random; so a
threshold on z is a false-accusation probability.

The layer that some schemes reserve for a payload readable without a list of customers is left
out, and every position carries the customer layer: a payload is never used to accuse (it fails
under collusion), every registered customer is tested anyway, and a third more positions
strengthen the layer that does accuse.

What removes the mark: distillation or full retraining, a leaked vendor key, a leaked unmarked
original; eight to ten colluding customers of a small int8 model come near the threshold. A
suspect with permuted rows or columns must be realigned with the original first.

Sources: G. Tardos, "Optimal probabilistic fingerprint codes" (J. ACM 55(2), 2008); B. Skoric,
S. Katzenbeisser, M. Celik, "Symmetric Tardos fingerprinting codes for arbitrary alphabet sizes"
(Designs, Codes and Cryptography 46, 2008).
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from asrpack.errors import InputError, KeyFileError

SCHEME = "tardos-dither-1"
KEY_BYTES = 32
DEFAULT_STRENGTH = 0.05
ACCUSE_Z = 7.0
"""Score from which a customer is named: p about 1.3e-12 for one customer tested."""

CODE_MAX = 127
_CUTOFF = 0.05
_CLIP = 3.0

Floats = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.floating]]


def _bias_table() -> NDArray[np.uint16]:
    """Thresholds p * 2**16 of 256 equally likely biases: midpoints of the arcsine law."""
    edge = math.asin(math.sqrt(_CUTOFF))
    angles = edge + (np.arange(256) + 0.5) / 256 * (math.pi / 2 - 2 * edge)
    return np.round(np.sin(angles) ** 2 * 65536).astype(np.uint16)


_THRESHOLDS = _bias_table()
_P = _THRESHOLDS / 65536
# Skoric's symmetric score for a positive residual; a negative one turns the sign.
_SCORE_PLUS = np.sqrt((1 - _P) / _P).astype(np.float32)
_SCORE_MINUS = -np.sqrt(_P / (1 - _P)).astype(np.float32)


@dataclass(frozen=True)
class Score:
    """How strongly a suspect carries one customer's mark.

    Attributes:
        z: standard normal for anyone whose mark is not there.
        p: probability of such a z or more by chance, for one customer; multiply it by the
            number of customers tested.
    """

    customer: str
    z: float
    p: float


def channel_steps(weight: NDArray[np.floating]) -> Floats:
    """Int8 step of every output channel of a ``(in, out)`` matrix: ``(out,)``."""
    steps: Floats = (np.abs(weight).max(axis=0) / CODE_MAX).astype(np.float32)
    return steps


def dither(
    key: bytes, customer: str, tensor: str, shape: tuple[int, ...], strength: float
) -> Floats:
    """A customer's mark for one matrix, in units of its channels' steps.

    Args:
        key: the vendor's watermark key, 32 bytes.
        tensor: name that identifies the matrix among all that are marked.
        shape: ``(in, out)``. Every column of the result has mean 0: a shift common to a whole
            channel would cost accuracy and hardly help detection.
    """
    size = math.prod(shape)
    sign = np.where(_chips(key, customer, tensor, _biases(key, tensor, size)), 1.0, -1.0)
    chips = sign.astype(np.float32).reshape(shape)
    chips -= chips.mean(axis=0, dtype=np.float64).astype(np.float32)
    return chips * np.float32(strength)


def mark_floats(weight: Floats, mark: Floats) -> Floats:
    """Marked weights of a matrix that stays in floating point; both ``(in, out)``."""
    return weight + channel_steps(weight) * mark


def mark_codes(
    weight: Floats,
    scale: Floats,
    mark: Floats,
    zeros: Floats | float = 0.0,
    limits: tuple[int, int] = (-CODE_MAX, CODE_MAX),
) -> NDArray[np.int8]:
    """Marked codes of a quantized matrix.

    Args:
        weight: the original, ``(in, out)``.
        scale: as in the unmarked build, broadcast against the weight: per output channel, or one
            for each number of a matrix in blocks. The mark is in its units.
        mark: from :func:`dither`; all zeros gives the unmarked build's codes.
        zeros: codes of 0, broadcast likewise.
        limits: least and greatest code.
    """
    steps = np.where(scale == 0, np.float32(1), scale)  # of a block of zeros
    exact: NDArray[np.floating] = weight / steps + zeros + mark * np.sign(steps)
    codes: NDArray[np.int8] = np.clip(np.rint(exact), *limits).astype(np.int8)
    return codes


def detect(
    original: Weights, suspect: Weights, key: bytes, customers: Iterable[str]
) -> list[Score]:
    """Scores every customer against a suspect, the strongest first.

    Every position is used: 2.4 million weights cost about 10 ms a customer.

    Args:
        original: the vendor's unmarked matrices by name, ``(in, out)`` float.
        suspect: the suspect's, dequantized. Matrices that are missing or have another shape
            are passed over; the rest is scored.

    Raises:
        InputError: no matrix of the suspect compares with the original.
        KeyFileError: the key is not 32 bytes.
    """
    parts = [
        _Residual(key, name, original[name], suspect[name])
        for name in sorted(original)
        if name in suspect and suspect[name].shape == original[name].shape
    ]
    if not parts:
        raise InputError(
            "no weight matrix of the suspect has the name and shape of one of the original",
            code="watermark-nothing-to-compare",
            remedy="pass the unmarked original of the same model; realign renamed weights first",
        )
    norm = math.sqrt(sum(part.energy for part in parts))
    scores = []
    for customer in customers:
        z = sum(part.score(key, customer) for part in parts) / norm if norm else 0.0
        scores.append(Score(customer, z, math.erfc(z / math.sqrt(2)) / 2))
    return sorted(scores, key=lambda score: (-score.z, score.customer))


class _Residual:
    """One matrix of a suspect, reduced to what scoring a customer needs."""

    def __init__(
        self,
        key: bytes,
        name: str,
        original: NDArray[np.floating],
        suspect: NDArray[np.floating],
    ) -> None:
        self.name = name
        step = channel_steps(original)
        step[step == 0] = np.inf  # a channel of zeros carries no mark
        residual = ((suspect - original) / step).astype(np.float32)
        # A weight that rounding does not explain and that is nearer to 0 than to itself was
        # pruned (and perhaps perturbed after that); its residual is the weight itself.
        pruned = (np.abs(suspect) < np.abs(original) / 2) & (np.abs(residual) > 1)
        residual[pruned] = 0
        residual[~np.isfinite(residual)] = 0
        kept = np.maximum(np.count_nonzero(residual, axis=0), 1)
        deviation = np.sqrt(np.einsum("ij,ij->j", residual, residual) / kept)
        residual /= np.where(deviation > 0, deviation, 1)
        np.clip(residual, -_CLIP, _CLIP, out=residual)

        flat = residual.reshape(-1)
        self.biases = _biases(key, name, flat.size)
        minus = _SCORE_MINUS[self.biases]
        # sum r*g = sum r*minus + sum over the customer's +1 of r*(plus - minus)
        self.base = float(np.dot(flat, minus))
        self.gain = flat * (_SCORE_PLUS[self.biases] - minus)
        self.energy = float(np.dot(flat, flat))

    def score(self, key: bytes, customer: str) -> float:
        chips = _chips(key, customer, self.name, self.biases)
        return self.base + float(np.dot(self.gain, chips.astype(np.float32)))


def _biases(key: bytes, tensor: str, size: int) -> NDArray[np.uint8]:
    """Index into the bias table per weight: the vendor's, the same for all customers."""
    return np.frombuffer(_keystream(key, "bias", tensor, "", size), np.uint8)


def _chips(key: bytes, customer: str, tensor: str, biases: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a customer's x is +1."""
    draws = np.frombuffer(_keystream(key, "chip", tensor, customer, 2 * biases.size), "<u2")
    return draws < _THRESHOLDS[biases]


def _keystream(key: bytes, purpose: str, tensor: str, customer: str, size: int) -> bytes:
    """Pseudo-random bytes: AES-256 in counter mode under a key of its own for every use."""
    if len(key) != KEY_BYTES:
        raise KeyFileError(
            f"a watermark key has {KEY_BYTES} bytes, this one {len(key)}",
            code="watermark-key-length",
            remedy="make one with `asrpack keys generate watermark`",
        )
    label = json.dumps([SCHEME, purpose, tensor, customer]).encode()
    cipher = Cipher(algorithms.AES(hmac.digest(key, label, "sha256")), modes.CTR(bytes(16)))
    return cipher.encryptor().update(bytes(size))
