"""Tardos-biased keyed dither: a customer's mark in a network's weights.

Marking adds to every weight of a matrix a customer's +-1, scaled to a small fraction of the
int8 step of the weight's output channel::

    w' = w + strength * step * (x - mean of x over the channel),  step = max|channel| / 127

and for an int8 graph the same sum is what gets rounded, with the scales of the unmarked build:
``round(w / step + strength * (x - mean))``. Only weights near a rounding boundary move, and no
second run of the quantizer is needed. In weights of blocks, int8 and int4, the step is the
block's own: a mark in steps of a channel's int8 would drown in the rounding to 4 bits, and in
steps of the grid it adds to the rounding noise what it adds at 8 bits, 12 * strength**2 of it.

The +-1 are a Tardos code: the vendor's key draws a bias p per weight (arcsine density, cut off
at 0.05), the key and the customer's name together draw x = +1 with probability p.
:mod:`asrpack.protect.detection` finds it again.

The layer that some schemes reserve for a payload readable without a list of customers is left
out, and every position carries the customer layer: a payload is never used to accuse (it fails
under collusion), every registered customer is tested anyway, and a third more positions
strengthen the layer that does accuse.

What removes the mark: distillation or full retraining, a leaked vendor key, a leaked unmarked
original. docs/watermark.md has what it survives.

Sources: G. Tardos, "Optimal probabilistic fingerprint codes" (J. ACM 55(2), 2008).
"""

from __future__ import annotations

import hmac
import json
import math

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from asrpack.errors import KeyFileError

SCHEME = "tardos-dither-1"
KEY_BYTES = 32
DEFAULT_STRENGTH = 0.05

CODE_MAX = 127
_CUTOFF = 0.05

Floats = NDArray[np.float32]


def _bias_table() -> NDArray[np.uint16]:
    """Thresholds p * 2**16 of 256 equally likely biases: midpoints of the arcsine law."""
    edge = math.asin(math.sqrt(_CUTOFF))
    angles = edge + (np.arange(256) + 0.5) / 256 * (math.pi / 2 - 2 * edge)
    return np.round(np.sin(angles) ** 2 * 65536).astype(np.uint16)


THRESHOLDS = _bias_table()
"""Of each of the 256 biases p: p * 2**16."""


def channel_steps(weight: NDArray[np.floating]) -> Floats:
    """Int8 step of every output channel of a ``(in, out)`` matrix: ``(out,)``."""
    steps: Floats = (np.abs(weight).max(axis=0) / CODE_MAX).astype(np.float32)
    return steps


def dither(
    key: bytes,
    customer: str,
    tensor: str,
    shape: tuple[int, ...],
    strength: float,
    bounds: NDArray[np.uint16] | None = None,
) -> Floats:
    """A customer's mark for one matrix, in units of its channels' steps.

    Args:
        key: the vendor's watermark key, 32 bytes.
        tensor: name that identifies the matrix among all that are marked.
        shape: ``(in, out)``. Every column of the result has mean 0: a shift common to a whole
            channel would cost accuracy and hardly help detection.
        bounds: :func:`thresholds` of the matrix, where several customers' are wanted.
    """
    size = math.prod(shape)
    draws = np.frombuffer(chip_draws(key, customer, tensor).update(bytes(2 * size)), "<u2")
    if bounds is None:
        bounds = thresholds(key, tensor, size)
    plus = (draws < bounds).reshape(shape)
    # Of +1 and -1, exactly.
    mean = ((2.0 * np.count_nonzero(plus, axis=0) - shape[0]) / shape[0]).astype(np.float32)
    high, low = ((np.float32(sign) - mean) * np.float32(strength) for sign in (1, -1))
    mark: Floats = np.where(plus, high, low)
    return mark


def add_mark(numbers: Floats, mark: Floats, unit: Floats) -> Floats:
    """Marked weights, or marked codes before they are rounded.

    Args:
        numbers: unmarked, ``(in, out)``: weights of a matrix that stays in floating point, or
            what :func:`exact_codes` gave.
        mark: from :func:`dither`, the same shape.
        unit: :func:`channel_steps` of the weights; the signs of the codes' scales.
    """
    marked: Floats = numbers + unit * mark
    return marked


def exact_codes(weight: Floats, scale: Floats, zeros: Floats | float = 0.0) -> Floats:
    """Codes of a quantized matrix before they are rounded, ``(in, out)``.

    Args:
        weight: the original, ``(in, out)``.
        scale: as in the unmarked build, broadcast against the weight: per output channel, or one
            for each number of a matrix in blocks.
        zeros: codes of 0, broadcast likewise.
    """
    steps = np.where(scale == 0, np.float32(1), scale)  # of a block of zeros
    exact: NDArray[np.floating] = weight / steps + zeros
    return exact.astype(np.float32, copy=False)


def round_codes(exact: Floats, limits: tuple[int, int] = (-CODE_MAX, CODE_MAX)) -> NDArray[np.int8]:
    """The codes that are stored.

    Args:
        exact: from :func:`exact_codes`, for the unmarked build's codes, or :func:`add_mark`.
        limits: least and greatest code.
    """
    codes: NDArray[np.int8] = np.clip(np.rint(exact), *limits).astype(np.int8)
    return codes


def thresholds(key: bytes, tensor: str, size: int) -> NDArray[np.uint16]:
    """p * 2**16 of every weight's bias p: the vendor's, the same for all customers."""
    return THRESHOLDS[biases(key, tensor, size)]


def biases(key: bytes, tensor: str, size: int) -> NDArray[np.uint8]:
    """Index into the bias table per weight: the vendor's, the same for all customers."""
    return np.frombuffer(_keystream(key, "bias", tensor, "").update(bytes(size)), np.uint8)


def chip_draws(key: bytes, customer: str, tensor: str) -> CipherContext:
    """What decides a customer's +-1, as the encryption of zeros: two bytes a weight, little-endian.

    x is +1 where they are below the weight's threshold.
    """
    return _keystream(key, "chip", tensor, customer)


def _keystream(key: bytes, purpose: str, tensor: str, customer: str) -> CipherContext:
    """Pseudo-random bytes: AES-256 in counter mode under a key of its own for every use."""
    if len(key) != KEY_BYTES:
        raise KeyFileError(
            f"a watermark key has {KEY_BYTES} bytes, this one {len(key)}",
            code="watermark-key-length",
            remedy="make one with `asrpack keys generate watermark`",
        )
    label = json.dumps([SCHEME, purpose, tensor, customer]).encode()
    cipher = Cipher(algorithms.AES(hmac.digest(key, label, "sha256")), modes.CTR(bytes(16)))
    return cipher.encryptor()
