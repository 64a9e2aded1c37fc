from __future__ import annotations

import numpy as np
import pytest

from asrpack.protect.alignment import rearranged


@pytest.mark.parametrize("shape", [(64, 160), (160, 64), (96, 96)])
def test_lines_are_told_when_half_of_a_scaled_matrix_was_pruned(shape):
    rng = np.random.default_rng(0)
    original = rng.standard_normal(shape, np.float32)
    rows, columns = (rng.permutation(size) for size in shape)
    factors = [2.0 ** rng.uniform(-1, 1, size) * rng.choice([-1, 1], size) for size in shape]
    suspect = (original * np.outer(*factors))[np.ix_(rows, columns)].astype(np.float32)
    suspect[np.abs(suspect) < np.median(np.abs(suspect))] = 0
    aligned = rearranged(original, suspect)
    assert aligned.correlation > 0.9
    kept = aligned.values != 0
    np.testing.assert_allclose(aligned.values[kept], original[kept], rtol=0.02)
