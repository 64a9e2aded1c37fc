from __future__ import annotations

import numpy as np
import pytest

from asrpack.protect.alignment import rearranged


def drawn(rng, kind, shape):
    """Trained weights have long tails; those drawn evenly, as layers begin, have none."""
    return rng.uniform(-1, 1, shape).astype(np.float32) if kind == "even" else normal(rng, shape)


def normal(rng, shape):
    return rng.standard_normal(shape, np.float32)


def moved(rng, matrix, octaves):
    """Rows and columns in another order, with other signs, and scaled."""
    orders = [rng.permutation(size) for size in matrix.shape]
    factors = [
        2.0 ** rng.uniform(-octaves, octaves, size) * rng.choice([-1, 1], size)
        for size in matrix.shape
    ]
    return (matrix * np.outer(*factors))[np.ix_(*orders)].astype(np.float32)


def pruned(matrix):
    return np.where(np.abs(matrix) < np.median(np.abs(matrix)), 0, matrix)


SHAPES = [(64, 160), (160, 64), (96, 96)]
LARGE = [(256, 1024), (1024, 256)]


@pytest.mark.parametrize(
    ("kind", "shape"), [("normal", item) for item in SHAPES] + [("even", item) for item in LARGE]
)
def test_lines_are_told_when_half_of_a_scaled_matrix_was_pruned(kind, shape):
    rng = np.random.default_rng(0)
    original = drawn(rng, kind, shape)
    aligned = rearranged(original, pruned(moved(rng, original, 1)))
    assert aligned.correlation > 0.8
    kept = aligned.values != 0
    # A line that lost nearly all of its numbers has nothing left to tell its factor by.
    off = np.abs(aligned.values[kept] / original[kept] - 1) > 0.02
    assert off.mean() < 0.001


@pytest.mark.parametrize("kind", ["normal", "even"])
@pytest.mark.parametrize("shape", LARGE)
def test_lines_are_told_in_noise_over_what_was_pruned(kind, shape):
    rng = np.random.default_rng(0)
    original = drawn(rng, kind, shape)
    suspect = pruned(moved(rng, original, 0))
    noise = 0.05 * suspect.std() * normal(rng, shape)
    aligned = rearranged(original, suspect + noise)
    assert aligned.correlation > 0.9
    large = np.abs(original) > 0.9  # what pruning left, of both kinds
    assert np.mean(np.abs(aligned.values - original)[large] > 0.3) < 0.001


@pytest.mark.parametrize("kind", ["normal", "even"])
def test_another_matrix_is_not_made_to_fit(kind):
    rng = np.random.default_rng(0)
    original, other = (drawn(rng, kind, (256, 512)) for _ in range(2))
    assert rearranged(original, other).correlation < 0.2
