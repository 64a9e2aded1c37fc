"""An n-gram of digits and cards in the ARPA format, which KenLM and PaddleSpeech's scorer read.

    python recipes/models/training/language_model.py words recipes/models/lm/words.arpa --order 3
    python recipes/models/training/language_model.py characters \
        recipes/models/lm/characters.arpa --order 5

PaddleSpeech's scorer (third_party/ctc_decoders/scorer.cpp) takes a model for one of characters if
each of its tokens is a single character, for one of words otherwise. It looks a space up by the
name of the unit, `<space>`, which is seven characters long: so a model with that token is one of
words, and a model of characters has no space and charges -1000 for each. Hence words for a
vocabulary with `<space>`, and characters, from texts without spaces, for one without.

Probabilities are interpolated after Witten and Bell, "The zero-frequency problem", IEEE
Transactions on Information Theory 37(4), 1991, method C.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from texts import sentence

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0  # log10 for <s>, which nothing predicts

Gram = tuple[str, ...]
TOKENS: Mapping[str, Callable[[str], list[str]]] = {
    "words": str.split,
    "characters": lambda text: list(text.replace(" ", "")),
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tokens", choices=TOKENS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--order", type=int, required=True)
    parser.add_argument("--sentences", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    split = TOKENS[options.tokens]
    texts = [split(sentence(rng)) for _ in range(options.sentences)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(arpa(count(texts, options.order)), encoding="utf-8")


def count(texts: Iterable[list[str]], order: int) -> list[Counter[Gram]]:
    """Counts of the n-grams of each order; `<s>` is context only."""
    counts: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for text in texts:
        tokens = (START, *text, END)
        for end in range(1, len(tokens)):
            for n in range(1, min(order, end + 1) + 1):
                counts[n - 1][tokens[end - n + 1 : end + 1]] += 1
    return counts


def arpa(counts: list[Counter[Gram]]) -> str:
    """The model's text: log10 probabilities, and weights for backing off."""
    seen: dict[Gram, int] = defaultdict(int)  # tokens after a context
    kinds: dict[Gram, int] = defaultdict(int)  # different ones
    for grams in counts:
        for gram, times in grams.items():
            seen[gram[:-1]] += times
            kinds[gram[:-1]] += 1

    def left_over(context: Gram) -> float:
        return kinds[context] / (seen[context] + kinds[context])

    probability: dict[Gram, float] = {(): 1 / (len(counts[0]) + 1)}  # <unk> is one of them
    for grams in counts:
        for gram, times in grams.items():
            context = gram[:-1]
            own = times / (seen[context] + kinds[context])
            probability[gram] = own + left_over(context) * probability[gram[1:]]
    probability[(UNKNOWN,)] = left_over(()) * probability[()]

    orders = [sorted(grams) for grams in counts]
    orders[0] = [(UNKNOWN,), (START,), *orders[0]]
    lines = ["\\data\\", *(f"ngram {n}={len(grams)}" for n, grams in enumerate(orders, 1))]
    for n, grams in enumerate(orders, 1):
        lines += ["", f"\\{n}-grams:"]
        for gram in grams:
            score = NEVER if gram == (START,) else math.log10(probability[gram])
            line = f"{score:.5f}\t{' '.join(gram)}"
            if n < len(orders) and gram in kinds:
                line += f"\t{math.log10(left_over(gram)):.5f}"
            lines.append(line)
    return "\n".join([*lines, "", "\\end\\", ""])


if __name__ == "__main__":
    main()
