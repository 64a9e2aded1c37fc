"""The n-grams of recipes/models/lm: rebuilt as they are, and proper distributions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "recipes/models"
CASES = {"words": 3, "characters": 5}


@pytest.mark.parametrize(("tokens", "order"), CASES.items())
def test_script_writes_the_model_that_is_kept(tokens: str, order: int, tmp_path: Path) -> None:
    out = tmp_path / "model.arpa"
    script = MODELS / "training/language_model.py"
    subprocess.run([sys.executable, script, tokens, out, "--order", str(order)], check=True)
    assert out.read_text() == (MODELS / f"lm/{tokens}.arpa").read_text()


@pytest.mark.parametrize(
    ("tokens", "context"),
    [
        ("words", ()),
        ("words", ("four", "of")),
        ("words", ("jack", "oh")),
        ("words", ("<s>", "queen")),
        ("characters", ("o", "u", "r", "o")),
        ("characters", ("z", "q", "e")),
    ],
)
def test_what_may_follow_a_context_has_probability_1(tokens: str, context: tuple[str, ...]) -> None:
    grams = read(MODELS / f"lm/{tokens}.arpa")
    vocabulary = [gram[0] for gram in grams if len(gram) == 1 and gram != ("<s>",)]
    total = sum(10 ** score(grams, (*context, token)) for token in vocabulary)
    assert total == pytest.approx(1.0, abs=1e-3)


def test_tokens_are_what_the_scorer_tells_words_and_characters_by() -> None:
    special = {"<unk>", "<s>", "</s>"}
    lengths = {
        tokens: {len(gram[0]) for gram in read(MODELS / f"lm/{tokens}.arpa") if len(gram) == 1}
        - {len(token) for token in special if tokens == "characters"}
        for tokens in CASES
    }
    assert lengths["characters"] == {1}
    assert max(lengths["words"]) > 1


def read(path: Path) -> dict[tuple[str, ...], tuple[float, float]]:
    """n-gram -> log10 probability and weight for backing off."""
    grams = {}
    for line in path.read_text().splitlines():
        if re.match(r"-?\d", line):
            probability, gram, *backoff = line.split("\t")
            grams[tuple(gram.split())] = (float(probability), float(backoff[0] if backoff else 0))
    return grams


def score(grams: dict[tuple[str, ...], tuple[float, float]], gram: tuple[str, ...]) -> float:
    """log10 probability of the last token after the others, by backing off."""
    if gram in grams:
        return grams[gram][0]
    return grams.get(gram[:-1], (0.0, 0.0))[1] + score(grams, gram[1:])
