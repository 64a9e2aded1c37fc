"""Hotwords against their definition: what a match earns, and what it moves in a search."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.errors import UsageError
from asrpack.runtime.decoding import ContextGraph, PrefixBeamSearch, ctc_prefix_beam_search
from asrpack.runtime.decoding.context_graph import START
from tests.runtime.test_ctc import path, posteriors, quantized

PHRASES = st.lists(
    st.tuples(
        st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from([0.5, 1.0, 10.0])
    ),
    max_size=5,
)


def earned(graph: ContextGraph, units: list[int]) -> list[float]:
    """The boost after each unit, of complete and begun phrases."""
    state, kept, totals = START, 0.0, []
    for unit in units:
        state = graph.step(state, unit)
        kept += graph.award[state]
        totals.append(float(kept + graph.pending[state]))
    return totals


@pytest.mark.parametrize(
    ("phrases", "units", "expected"),
    [
        ([([1, 2, 3], 2.0)], [1, 2, 3], [2, 4, 6]),
        ([([1, 2, 3], 2.0)], [1, 2, 3, 4], [2, 4, 6, 6]),  # complete: kept
        ([([1, 2, 3], 2.0)], [1, 2, 4], [2, 4, 0]),  # broken off: taken back
        ([([1, 2, 3], 2.0)], [1, 2, 1, 2, 3], [2, 4, 2, 4, 6]),
        ([([1, 2, 3], 2.0)], [1, 1, 2, 3], [2, 2, 4, 6]),  # a match begins within another
        ([([1, 2], 2.0), ([1, 2, 3], 2.0)], [1, 2, 3], [2, 4, 6]),  # each unit once
        ([([1, 2], 2.0), ([1, 2, 3], 2.0)], [1, 2, 4], [2, 4, 4]),
        ([([1, 2, 3, 4], 1.0), ([2, 3], 1.0)], [1, 2, 3, 1], [1, 2, 5, 3]),  # a phrase inside
        ([([1], 1.0), ([1], 3.0)], [1, 1], [3, 6]),  # the larger boost; every time it is said
        ([([1, 2], 1.0), ([2, 3], 1.0)], [1, 2, 3], [1, 2, 4]),  # both were said
    ],
)
def test_what_a_match_earns(phrases: list, units: list[int], expected: list[float]) -> None:
    assert earned(ContextGraph(phrases), units) == pytest.approx(expected)


@given(PHRASES, st.lists(st.integers(1, 5), max_size=20))
def test_a_state_is_the_longest_beginning_of_a_phrase_that_was_said_last(
    phrases: list, units: list[int]
) -> None:
    graph = ContextGraph(phrases)
    begun = {tuple(phrase[:size]) for phrase, _ in phrases for size in range(len(phrase) + 1)}
    begun.add(())
    state = START
    for count, unit in enumerate(units, 1):
        state = graph.step(state, unit)
        suffixes = (tuple(units[at:count]) for at in range(count + 1))
        expected = START
        for own in next(suffix for suffix in suffixes if suffix in begun):
            expected = graph.step(expected, own)
        assert state == expected


def test_units_take_little_memory() -> None:
    tracemalloc.start()
    try:
        graph = ContextGraph([([1, *divmod(number, 40)] * 6, 3.0) for number in range(1000)])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50 * len(graph.award)


@given(PHRASES, st.lists(st.integers(1, 5), max_size=20))
def test_what_is_kept_belongs_to_phrases_that_were_said(phrases: list, units: list[int]) -> None:
    graph = ContextGraph(phrases)
    said = [
        phrase
        for phrase, _ in phrases
        if any(units[i : i + len(phrase)] == phrase for i in range(len(units)))
    ]
    state, kept = START, 0.0
    for unit in units:
        state = graph.step(state, unit)
        kept += float(graph.award[state])
    assert (kept > 0) == bool(said)
    # A phrase that is the last said earns its own boost at least.
    if units and [units] == said and len(phrases) == 1:
        assert kept == pytest.approx(phrases[0][1] * len(units))


@given(
    phrases=PHRASES,
    seed=st.integers(0, 10**6),
    beam_size=st.integers(1, 12),
    tied=st.booleans(),
    cut=st.integers(0, 30),
)
@settings(max_examples=200)
def test_compiled_and_python_agree(
    phrases: list, seed: int, beam_size: int, tied: bool, cut: int
) -> None:
    graph = ContextGraph(phrases)
    log_probs = quantized(seed, 30, 6, 4) if tied else posteriors(seed, 30, 6, 2.0)
    found = []
    for compiled in (True, False):
        search = PrefixBeamSearch(beam_size, hotwords=graph, compiled=compiled)
        search.advance(log_probs[:cut])
        search.advance(log_probs[cut:])
        assert search.best() == search.nbest()[0][0]
        found.append((search.nbest(), search.boosts()))
    assert found[0] == found[1]
    ranks = [score + boost for (_, score), boost in zip(*found[0], strict=True)]
    assert ranks == sorted(ranks, reverse=True)


@given(seed=st.integers(0, 10**6), beam_size=st.integers(1, 12))
def test_hotwords_that_are_not_said_change_nothing(seed: int, beam_size: int) -> None:
    log_probs = posteriors(seed, 40, 9, 2.0)
    plain = ctc_prefix_beam_search(log_probs, beam_size)
    for graph in (ContextGraph([]), ContextGraph([([77, 78], 5.0)])):
        assert ctc_prefix_beam_search(log_probs, beam_size, hotwords=graph) == plain


def test_a_hotword_wins_over_a_likelier_text_and_keeps_its_probability() -> None:
    log_probs = path(0, 1, 0, 2, 0)
    log_probs[3] = np.log([0.05, 0.01, 0.5, 0.4, 0.04])
    plain = dict(ctc_prefix_beam_search(log_probs, 5))
    search = PrefixBeamSearch(5, hotwords=ContextGraph([([1, 3], 1.0)]))
    search.advance(log_probs)
    (units, score), *_ = search.nbest()
    assert max(plain, key=plain.__getitem__) == (1, 2)
    assert units == (1, 3)
    assert score == pytest.approx(plain[1, 3])  # what else the beam held differs a little
    assert search.boosts()[0] == 2.0
    # A boost too small for the difference moves nothing.
    weak = ContextGraph([([1, 3], 0.1)])
    assert ctc_prefix_beam_search(log_probs, 5, hotwords=weak)[0][0] == (1, 2)


def test_a_hotword_that_is_only_begun_wins_nothing_at_the_end() -> None:
    log_probs = path(0, 1, 0)
    log_probs[1] = np.log([0.05, 0.5, 0.4, 0.03, 0.02])
    graph = ContextGraph([([2, 3], 5.0)])
    search = PrefixBeamSearch(5, hotwords=graph)
    search.advance(log_probs)
    assert search.best() == search.nbest()[0][0] == (1,)


@pytest.mark.parametrize("phrase", [([], 1.0), ([1], float("nan")), ([1], float("inf"))])
def test_what_is_no_hotword_is_refused(phrase: tuple[list[int], float]) -> None:
    with pytest.raises(UsageError, match="no hotword"):
        ContextGraph([phrase])
