"""Error rates on cases counted by hand, and on random texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asrpack.measure.error_rate import Edits, count_edits, paired_bootstrap, total

TEXT = st.text(alphabet="ab ", min_size=1, max_size=12).map(str.strip).filter(bool)


def test_words_counted_by_hand() -> None:
    edits = count_edits("four queen of clubs", "for queen clubs now", "wer")
    assert edits.length == 4
    assert edits.errors == 3
    assert edits.rate == 0.75


def test_kinds_of_edits_are_apart() -> None:
    assert count_edits("a b c", "a c", "wer") == Edits(0, 1, 0, 3)
    assert count_edits("a c", "a b c", "wer") == Edits(0, 0, 1, 2)
    assert count_edits("a b c", "a x c", "wer") == Edits(1, 0, 0, 3)


def test_spaces_are_characters() -> None:
    assert count_edits("a b", "ab", "cer") == Edits(0, 1, 0, 3)


def test_an_empty_hypothesis_is_all_deletions() -> None:
    assert count_edits("one two", "", "wer") == Edits(0, 2, 0, 2)
    assert count_edits("one", "", "cer") == Edits(0, 3, 0, 3)


def test_a_sets_rate_is_not_the_mean_of_rates() -> None:
    assert total([Edits(1, 0, 0, 1), Edits(0, 0, 0, 9)]).rate == 0.1


@given(TEXT)
def test_the_text_itself_has_no_errors(text: str) -> None:
    assert count_edits(text, text, "cer").errors == 0


@given(TEXT, TEXT)
def test_swapping_texts_swaps_deletions_and_insertions(one: str, other: str) -> None:
    there, back = count_edits(one, other, "cer"), count_edits(other, one, "cer")
    assert there.errors == back.errors
    assert there.deletions - there.insertions == back.insertions - back.deletions


def test_bootstrap_interval_holds_the_increase_and_repeats() -> None:
    baseline = [Edits(0, 0, 0, 10)] * 50
    candidate = [Edits(0, 1, 0, 10)] * 25 + [Edits(0, 0, 0, 10)] * 25
    low, high = paired_bootstrap(baseline, candidate)
    assert 0 < low < 0.05 < high < 0.1
    assert (low, high) == paired_bootstrap(baseline, candidate)
    assert paired_bootstrap(baseline, baseline) == (0.0, 0.0)
