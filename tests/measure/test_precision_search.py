"""The search itself, on errors that follow a rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrpack.measure.precision_search import Measured, search

LAYERS = [("encoder", f"layer{index}") for index in range(40)]


def measured(kept, harm, fp32_bytes=4000):
    rise = sum(value for layer, value in harm.items() if layer not in kept)
    size = fp32_bytes - 75 * (len(LAYERS) - len(kept))
    return Measured(size, size / fp32_bytes, 2.0, 0.05 + rise, rise, rise, 1, 1, 1, 0)


def run(harm, budget, forced=frozenset(), time=1000):
    tried = []

    def measure(kept):
        tried.append(kept)
        return measured(kept, harm)

    ranked = sorted(LAYERS, key=lambda layer: -harm.get(layer, 0.0))
    return search(ranked, forced, budget, measure, lambda: len(tried) < time), tried


def test_all_in_int8_where_that_is_good_enough():
    found, tried = run({}, 0.0)
    assert found.chosen.kept == frozenset() and found.stopped == "met"
    assert len(tried) == 1


@given(
    st.sets(st.sampled_from(LAYERS), max_size=40),
    st.sets(st.sampled_from(LAYERS), max_size=5),
)
def test_the_layers_that_do_harm_stay_fp32_and_no_others(harmful, forced):
    found, tried = run(dict.fromkeys(harmful, 0.01), 0.005, frozenset(forced))
    assert found.stopped == "met"
    assert found.chosen.kept == harmful | forced
    assert len(tried) <= 2 * 6 + 2 + 8
    assert len(tried) == len(set(tried))
    assert [item.kept for item in found.candidates] == tried


def test_what_is_tolerable_goes_back_to_int8():
    """The first of two equal layers is enough."""
    found, _ = run({LAYERS[0]: 0.01, LAYERS[1]: 0.01}, 0.015)
    assert len(found.chosen.kept) == 1


def test_out_of_time_gives_the_best_so_far():
    found, tried = run(dict.fromkeys(LAYERS, 0.01), 0.0, time=3)
    assert found.stopped == "time" and len(tried) == 3
    assert found.chosen.kept == max(tried, key=len)


def test_one_measurement_is_made_however_short_the_time():
    found, tried = run({LAYERS[0]: 0.01}, 0.0, time=0)
    assert found.stopped == "time" and len(tried) == 1


def test_what_no_layer_helps_is_told():
    beyond = {("elsewhere", "lstm"): 0.5}
    found, tried = run(beyond, 0.1)
    assert found.stopped == "exhausted"
    assert frozenset(LAYERS) in tried


def test_a_rise_that_may_be_too_large_on_other_speech_does_not_meet_a_budget():
    found = measured(frozenset(), {})
    assert not Measured(**{**found.__dict__, "increase_bound": 0.02}).meets(0.01)


def test_an_emptied_utterance_does_not_meet_a_budget():
    good = measured(frozenset(), {})
    assert good.meets(0.0)
    assert not Measured(**{**good.__dict__, "emptied": 1}).meets(1.0)
