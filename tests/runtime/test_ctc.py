"""CTC searches against their definitions."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.runtime.decoding import (
    GreedySearch,
    Nbest,
    PrefixBeamSearch,
    ctc_greedy_search,
    ctc_prefix_beam_search,
)
from asrpack.runtime.decoding.native_beam import library_path, native_library


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(np.float32)


def posteriors(seed: int, frames: int, units: int, sharpness: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((frames, units)) * sharpness
    logits[:, 0] += rng.random() * 2 * sharpness  # blank is likely, as in a trained model
    return log_softmax(logits)


def log_add(values: list[float]) -> float:
    top = max(values)
    if top == -math.inf:
        return -math.inf
    # Not sum(): Python 3.12's compensates, which would be another last bit.
    total = 0.0
    for value in values:
        total += math.exp(value - top)
    return top + math.log(total)


def prefix_beam_search_by_the_book(log_probs: np.ndarray, beam_size: int) -> Nbest:
    """First-pass search of the U2 paper, nothing pruned but by the beam, prefixes as tuples."""
    beam = [((), (0.0, -math.inf))]
    for frame in log_probs:
        following: dict = defaultdict(lambda: (-math.inf, -math.inf))
        for unit in np.argsort(-frame, kind="stable")[:beam_size].tolist():
            p = float(frame[unit])
            for prefix, (pb, pnb) in beam:
                if unit == 0:
                    b, nb = following[prefix]
                    following[prefix] = log_add([b, pb + p, pnb + p]), nb
                elif prefix and unit == prefix[-1]:
                    b, nb = following[prefix]
                    following[prefix] = b, log_add([nb, pnb + p])
                    b, nb = following[(*prefix, unit)]
                    following[(*prefix, unit)] = b, log_add([nb, pb + p])
                else:
                    b, nb = following[(*prefix, unit)]
                    following[(*prefix, unit)] = b, log_add([nb, pb + p, pnb + p])
        ranked = sorted(following.items(), key=lambda item: log_add(list(item[1])), reverse=True)
        beam = ranked[:beam_size]
    return [(prefix, log_add(list(scores))) for prefix, scores in beam]


@given(
    seed=st.integers(0, 10**6),
    frames=st.integers(1, 40),
    units=st.integers(2, 30),
    beam_size=st.integers(1, 12),
    sharpness=st.sampled_from([0.1, 1.0, 3.0, 10.0]),
)
@settings(max_examples=300)
def test_prefix_beam_search_equals_the_book_to_the_last_bit(
    seed: int, frames: int, units: int, beam_size: int, sharpness: float
) -> None:
    log_probs = posteriors(seed, frames, units, sharpness)
    expected = prefix_beam_search_by_the_book(log_probs, beam_size)
    for compiled in (True, False):
        search = PrefixBeamSearch(beam_size, compiled=compiled)
        search.advance(log_probs)
        assert search.nbest() == expected
        assert search.best() == expected[0][0]
        assert search.boosts() == [0.0] * len(expected)


def test_the_compiled_search_is_there() -> None:
    assert native_library() is not None, f"{library_path()}: run hatch_build.py"


def quantized(seed: int, frames: int, units: int, levels: int) -> np.ndarray:
    """Log-probabilities of a few values: full of ties, in a frame and between prefixes."""
    values = -np.random.default_rng(seed).integers(0, levels, (frames, units))
    return (values * 0.5).astype(np.float32)


@given(
    seed=st.integers(0, 10**6),
    frames=st.integers(0, 60),
    units=st.sampled_from([1, 2, 3, 7, 40, 5538]),
    beam_size=st.integers(1, 20),
    levels=st.integers(1, 6),
    blank_id=st.sampled_from([0, 1, 99]),
)
@settings(max_examples=150)
def test_compiled_and_python_agree_on_ties_too(
    seed: int, frames: int, units: int, beam_size: int, levels: int, blank_id: int
) -> None:
    log_probs = quantized(seed, frames, units, levels)
    found = []
    for compiled in (True, False):
        search = PrefixBeamSearch(beam_size, blank_id, compiled=compiled)
        search.advance(log_probs)
        found.append(search.nbest())
    assert found[0] == found[1]
    if frames and blank_id == 0:
        assert found[0] == prefix_beam_search_by_the_book(log_probs, beam_size)


def test_impossible_units_change_nothing() -> None:
    log_probs = posteriors(0, 30, 8, 3.0)
    log_probs[:, 5:] = -np.inf
    for compiled in (True, False):
        search = PrefixBeamSearch(10, compiled=compiled)
        search.advance(log_probs)
        assert search.nbest() == prefix_beam_search_by_the_book(log_probs, 10)


@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 40), max_size=6).map(sorted),
    sharpness=st.sampled_from([0.5, 3.0]),
)
def test_chunks_give_what_the_whole_gives(seed: int, cuts: list[int], sharpness: float) -> None:
    log_probs = posteriors(seed, 40, 9, sharpness)
    searches = (PrefixBeamSearch(5), PrefixBeamSearch(5, compiled=False))
    greedy = GreedySearch()
    for chunk in np.split(log_probs, cuts):
        greedy.advance(chunk)
        for search in searches:
            search.advance(chunk)
    assert (greedy.best(), greedy.score) == ctc_greedy_search(log_probs)
    assert [search.nbest() for search in searches] == [ctc_prefix_beam_search(log_probs, 5)] * 2


def test_streams_do_not_mix() -> None:
    log_probs = [posteriors(seed, 60, 9, 2.0) for seed in range(3)]
    searches = [PrefixBeamSearch(7) for _ in log_probs]
    for t in range(0, 60, 10):
        for search, frames in zip(searches, log_probs, strict=True):
            search.advance(frames[t : t + 10])
    expected = [ctc_prefix_beam_search(frames, 7) for frames in log_probs]
    assert [search.nbest() for search in searches] == expected


def test_rows_of_a_larger_array_and_doubles_are_taken() -> None:
    log_probs = posteriors(1, 40, 9, 2.0)
    wide = np.repeat(log_probs.astype(np.float64), 2, axis=0)[::2]
    assert ctc_prefix_beam_search(wide) == ctc_prefix_beam_search(log_probs)


@given(seed=st.integers(0, 10**6), units=st.integers(2, 4), frames=st.integers(1, 5))
@settings(max_examples=50)
def test_a_beam_that_holds_everything_gives_the_exact_probabilities(
    seed: int, units: int, frames: int
) -> None:
    log_probs = posteriors(seed, frames, units, 1.0)
    exact: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(units), repeat=frames):
        text = tuple(unit for unit, _ in itertools.groupby(path) if unit != 0)
        exact[text] += math.exp(sum(float(log_probs[t, u]) for t, u in enumerate(path)))
    found = dict(ctc_prefix_beam_search(log_probs, 2000))
    for text, probability in exact.items():
        assert math.exp(found[text]) == pytest.approx(probability, rel=1e-5)


@given(seed=st.integers(0, 10**6), sharpness=st.sampled_from([0.5, 5.0]))
def test_greedy_collapses_the_likeliest_path(seed: int, sharpness: float) -> None:
    log_probs = posteriors(seed, 30, 6, sharpness)
    path = log_probs.argmax(axis=1).tolist()
    units, score = ctc_greedy_search(log_probs)
    assert units == tuple(unit for unit, _ in itertools.groupby(path) if unit != 0)
    assert score == pytest.approx(log_probs.max(axis=1).sum(), rel=1e-5)
    # The best text is at least as likely as the best path.
    assert ctc_prefix_beam_search(log_probs, 10)[0][1] >= score - 1e-4


def path(*units: int) -> np.ndarray:
    """Log-probabilities that leave no doubt about a path."""
    return log_softmax(np.eye(5)[list(units)] * 30)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ((0, 0, 0), ()),
        ((1, 1, 1), (1,)),
        ((1, 0, 1), (1, 1)),
        ((1, 2, 1), (1, 2, 1)),
        ((0, 1, 1, 0, 0, 2, 2, 4, 4), (1, 2, 4)),
    ],
)
def test_both_collapse_repeats_and_blanks(frames: tuple[int, ...], expected: tuple) -> None:
    assert ctc_greedy_search(path(*frames))[0] == expected
    assert ctc_prefix_beam_search(path(*frames), 5)[0][0] == expected


def test_no_frames() -> None:
    empty = np.zeros((0, 5), np.float32)
    assert ctc_greedy_search(empty) == ((), 0.0)
    assert ctc_prefix_beam_search(empty) == [((), 0.0)]


def test_ties_go_to_the_lowest_id() -> None:
    flat = log_softmax(np.zeros((1, 5538)))
    for compiled in (True, False):
        search = PrefixBeamSearch(3, compiled=compiled)
        search.advance(flat)
        assert [units for units, _ in search.nbest()] == [(), (1,), (2,)]


def test_blank_may_be_another_unit() -> None:
    assert ctc_greedy_search(path(4, 1, 4), blank_id=4)[0] == (1,)
    assert ctc_prefix_beam_search(path(4, 1, 4), 5, blank_id=4)[0][0] == (1,)


def test_long_hypotheses() -> None:
    frames = [1 + t // 2 % 4 if t % 2 == 0 else 0 for t in range(5000)]
    for compiled in (True, False):
        search = PrefixBeamSearch(10, compiled=compiled)
        search.advance(path(*frames))
        assert len(search.best()) == 2500
