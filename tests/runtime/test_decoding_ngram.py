"""Beam search with a language model: against all texts there are, and KenLM itself."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
from collections import defaultdict
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.bundle.model import NgramWeights
from asrpack.errors import InputError, ToolchainError
from asrpack.runtime.decoding.ctc_ngram_beam import NgramBeamSearch
from asrpack.runtime.decoding.ngram import UNKNOWN_SCORE, NgramModel
from tests.runtime.test_ctc import posteriors

ARPA = Path(__file__).parent / "data" / "characters.arpa"
BINARY = ARPA.with_suffix(".klm")
ALPHA, BETA = 0.8, 0.3


class Bigram:
    """Stands for an NgramModel: what it scores is known, its state is the last word."""

    order = 2

    def __init__(self, words: list[str], *, character_based: bool) -> None:
        self.words, self.character_based = frozenset(words), character_based

    def start(self) -> str:
        return "<s>"

    def score(self, state: str, word: str) -> tuple[str, float]:
        if word not in self.words:
            return word, UNKNOWN_SCORE
        return word, -((sum(map(ord, state)) * 7 + sum(map(ord, word)) * 3) % 11) / 4

    def add(self, words: list[str]) -> float:
        states = itertools.pairwise(["<s>", *words])
        return sum(ALPHA * self.score(a, b)[1] + BETA for a, b in states)


def exact(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """log p of every text."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        text = tuple(unit for unit, _ in itertools.groupby(path) if unit != 0)
        found[text] += math.exp(sum(float(log_probs[t, u]) for t, u in enumerate(path)))
    return {text: math.log(value) for text, value in found.items()}


def search(log_probs: np.ndarray, tokens: list[str], model: Any, **options: Any) -> dict:
    weights = NgramWeights(ALPHA, BETA, options.pop("cutoff_prob", 1.0), 40)
    beam = NgramBeamSearch(tokens, model, weights, **{"beam_size": 5000, **options})
    for chunk in np.split(log_probs, [2]):
        beam.advance(chunk)
    nbest = beam.nbest()
    scores = [score for _, score in nbest]
    assert scores == sorted(scores, reverse=True)
    assert beam.best() == nbest[0][0]
    return dict(nbest)


@given(seed=st.integers(0, 10**6), frames=st.integers(1, 5))
@settings(max_examples=30)
def test_every_character_adds_its_score(seed: int, frames: int) -> None:
    tokens = ["<blank>", "a", "b", "<space>"]
    model = Bigram(["a", "b"], character_based=True)
    log_probs = posteriors(seed, frames, 4, 1.0)
    found = search(log_probs, tokens, model)
    for text, score in exact(log_probs).items():
        words = ["" if unit == 3 else tokens[unit] for unit in text]
        assert found[text] == pytest.approx(score + model.add(words), abs=1e-3)


@given(seed=st.integers(0, 10**6), frames=st.integers(1, 6))
@settings(max_examples=30)
def test_only_words_of_the_model_and_each_adds_its_score(seed: int, frames: int) -> None:
    tokens = ["<blank>", "a", "b", "<space>"]
    model = Bigram(["a", "ab", "bb", "c"], character_based=False)
    log_probs = posteriors(seed, frames, 4, 1.0)
    found = search(log_probs, tokens, model)
    expected = {}
    for text, score in exact(log_probs).items():
        spelt = "".join(" " if unit == 3 else tokens[unit] for unit in text)
        *complete, last = spelt.split(" ")
        begins = any(word.startswith(last) for word in model.words)
        if all(word in model.words for word in complete) and begins:
            words = spelt.split(" ") if last else complete
            expected[text] = score + model.add(words)
    finite = {text: score for text, score in found.items() if score > -math.inf}
    # Behind a space a unit is refused once, so those may lack paths.
    assert set(finite) <= set(expected)
    for text, score in expected.items():
        if 3 not in text[:-1]:
            assert finite[text] == pytest.approx(score, abs=1e-3)
        elif text in finite:
            assert finite[text] <= score + 1e-3


def test_words_follow_one_another() -> None:
    tokens = ["<blank>", "a", "b", "<space>"]
    model = Bigram(["ab", "b"], character_based=False)
    log_probs = np.full((9, 4), 0.01)
    log_probs[range(9), [1, 2, 0, 3, 0, 2, 0, 3, 0]] = 0.97
    found = search(np.log(log_probs).astype(np.float32), tokens, model)
    best = max(found, key=found.__getitem__)
    assert "".join(tokens[unit] for unit in best).replace("<space>", " ") == "ab b "


@given(
    seed=st.integers(0, 10**6),
    beam_size=st.integers(1, 12),
    cutoff_prob=st.sampled_from([0.9, 0.99, 1.0]),
    sharpness=st.sampled_from([1.0, 3.0]),
)
@settings(max_examples=100)
def test_without_a_model_as_the_decoder_of_paddlespeech(
    decoder: Any, seed: int, beam_size: int, cutoff_prob: float, sharpness: float
) -> None:
    log_probs = posteriors(seed, 12, 7, sharpness)
    # That one's blank is the last unit.
    probs = np.exp(np.roll(log_probs.astype(np.float64), -1, axis=1))
    expected = decoder.ctc_beam_search_decoder(
        probs.tolist(), beam_size, list("abcdef"), cutoff_prob=cutoff_prob
    )
    tokens = ["<blank>", *"abcdef"]
    found = search(log_probs, tokens, None, beam_size=beam_size, cutoff_prob=cutoff_prob)
    texts = {"".join(tokens[unit] for unit in text): score for text, score in found.items()}
    for score, text in expected:
        if text and score > -math.inf:
            assert texts[text] == pytest.approx(score, abs=1e-4)


@pytest.fixture(scope="module")
def decoder() -> Any:
    """PaddleSpeech's own decoder in Python; its file needs nothing but NumPy."""
    package = importlib.util.find_spec("paddlespeech")
    if package is None or package.submodule_search_locations is None:
        pytest.skip("paddlespeech is not installed")
    file = Path(package.submodule_search_locations[0]) / "s2t/decoders/ctcdecoder"
    path = str(file / "decoders_deprecated.py")
    return SourceFileLoader("decoders_deprecated", path).load_module()


def test_a_model_decides_between_what_sounds_alike() -> None:
    tokens = ["<blank>", "a", "b"]
    model = Bigram(["a", "b"], character_based=True)
    log_probs = np.log([[0.1, 0.44, 0.46]]).astype(np.float32)
    plain, helped = search(log_probs, tokens, None), search(log_probs, tokens, model)
    better = min("ab", key=lambda word: -model.score("<s>", word)[1])
    assert max(plain, key=plain.__getitem__) == (2,)
    assert max(helped, key=helped.__getitem__) == (tokens.index(better),)
    assert better == "a"


@pytest.fixture(params=[ARPA, BINARY], ids=["arpa", "binary"])
def model(request: pytest.FixtureRequest) -> NgramModel:
    pytest.importorskip("flashlight.lib.text")
    return NgramModel(request.param)


def test_kenlm_reads_both_formats(model: NgramModel) -> None:
    assert (model.order, model.character_based) == (3, True)
    assert model.words == {"甲", "乙", "丙"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("甲", -0.2),
        ("甲乙", -0.1),  # the trigram <s> 甲 乙
        ("甲丙", -0.25 - 0.2 - 1.1),  # backs off twice
        ("乙", -0.3 - 0.9),
        ("丁", UNKNOWN_SCORE),
        ("丁甲乙", UNKNOWN_SCORE),  # still in the trigram
        ("丁甲乙甲", -0.05 - 0.1 - 0.5),  # no longer
    ],
)
def test_kenlm_scores(model: NgramModel, words: str, expected: float) -> None:
    state = model.start()
    for word in words:
        state, score = model.score(state, word)
    assert score == pytest.approx(expected, abs=1e-5)


def test_kenlm_in_a_search(model: NgramModel) -> None:
    tokens = ["<blank>", "甲", "乙", "丙"]
    log_probs = np.log([[0.1, 0.8, 0.05, 0.05], [0.1, 0.1, 0.35, 0.45]]).astype(np.float32)
    plain, helped = search(log_probs, tokens, None), search(log_probs, tokens, model)
    assert max(plain, key=plain.__getitem__) == (1, 3)
    assert max(helped, key=helped.__getitem__) == (1, 2)


@pytest.mark.parametrize("content", [b"", b"\\data\\\n", b"nothing", BINARY.read_bytes()[:200]])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("flashlight.lib.text")
    path = tmp_path / "lm.klm"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a language model"):
        NgramModel(path)
    with pytest.raises(InputError, match="not a language model"):
        NgramModel(tmp_path / "missing.arpa")


def test_without_flashlight_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder.kenlm", None)
    with pytest.raises(ToolchainError, match="flashlight-text"):
        NgramModel(ARPA)
