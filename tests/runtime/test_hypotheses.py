"""Hypotheses side by side and as a tree."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asrpack.runtime.decoding.hypotheses import padded, prefix_tree

SOS = EOS = 5
# Few units, so that many prefixes are common.
HYPOTHESES = st.lists(st.lists(st.integers(1, 3), max_size=6).map(tuple), min_size=1, max_size=10)


@given(HYPOTHESES)
def test_a_tree_has_each_prefix_once(hypotheses: list[tuple[int, ...]]) -> None:
    tree = prefix_tree(hypotheses, SOS)
    prefixes = {units[:size] for units in hypotheses for size in range(len(units) + 1)}
    assert len(tree.units) == len(prefixes)
    for units, places in zip(hypotheses, tree.places, strict=True):
        assert tree.units[places].tolist() == [SOS, *units]
        assert (np.diff(places) > 0).all()
        for size, place in enumerate(places, 1):
            assert np.flatnonzero(tree.ancestors[place]).tolist() == places[:size].tolist()
    assert tree.units.dtype == tree.ancestors.dtype == np.int64
    assert set(tree.ancestors.ravel().tolist()) <= {0, 1}


def test_a_tree_of_nothing_is_the_start_of_sentence() -> None:
    tree = prefix_tree([()], SOS)
    assert (tree.units.tolist(), tree.ancestors.tolist()) == ([SOS], [[1]])


def test_side_by_side() -> None:
    hyps_in, hyps_lens = padded([(1, 2, 3), (1, 2), ()], SOS, EOS, 0)
    assert hyps_in.tolist() == [[5, 1, 2, 3], [5, 1, 2, 5], [5, 0, 5, 5]]
    assert hyps_lens.tolist() == [4, 3, 1]
    assert hyps_in.dtype == hyps_lens.dtype == np.int64


def test_nothing_but_empty_hypotheses_still_feed_a_blank() -> None:
    hyps_in, hyps_lens = padded([()], SOS, EOS, 0)
    assert (hyps_in.tolist(), hyps_lens.tolist()) == ([[5, 0]], [1])
