"""Character and word error rates with substitutions, deletions and insertions apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import jiwer
import numpy as np

Metric = Literal["cer", "wer"]
METRICS: tuple[Metric, ...] = ("cer", "wer")
BOOTSTRAP_ROUNDS = 1000
BOOTSTRAP_SEED = 20  # a fixed seed: the same texts give the same interval


@dataclass(frozen=True)
class Edits:
    """Edit counts against ``length`` reference units (characters or words)."""

    substitutions: int
    deletions: int
    insertions: int
    length: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference unit; above 1 where insertions abound."""
        return self.errors / self.length

    def as_dict(self) -> dict[str, Any]:
        return {"rate": self.rate, **asdict(self)}


def count_edits(reference: str, hypothesis: str, metric: Metric) -> Edits:
    """Levenshtein alignment of one utterance. Spaces count as characters, as in PaddleSpeech."""
    process = jiwer.process_characters if metric == "cer" else jiwer.process_words
    found = process(reference, hypothesis)
    length = found.hits + found.substitutions + found.deletions
    return Edits(found.substitutions, found.deletions, found.insertions, length)


def total(edits: Sequence[Edits]) -> Edits:
    """Sum over a set: its rate is the set's error rate (not the mean of rates)."""
    return Edits(
        sum(item.substitutions for item in edits),
        sum(item.deletions for item in edits),
        sum(item.insertions for item in edits),
        sum(item.length for item in edits),
    )


def paired_bootstrap(baseline: Sequence[Edits], candidate: Sequence[Edits]) -> tuple[float, float]:
    """95 % interval of the increase in error rate, resampling utterances in pairs.

    Source: Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation", ICASSP 2004.
    """
    difference = np.array([c.errors - b.errors for b, c in zip(baseline, candidate, strict=True)])
    length = np.array([item.length for item in baseline])
    random = np.random.default_rng(BOOTSTRAP_SEED)
    picks = random.integers(0, len(length), size=(BOOTSTRAP_ROUNDS, len(length)))
    rates = difference[picks].sum(axis=1) / length[picks].sum(axis=1)
    low, high = np.percentile(rates, [2.5, 97.5])
    return float(low), float(high)
