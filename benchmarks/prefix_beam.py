"""Time of each CTC search for ten seconds of audio, compiled and in Python.

250 frames of 40 ms, beam 10, 5538 units (the vocabulary of WenetSpeech's models), random
posteriors: ``clear`` as a trained model's on clean speech, ``unsure`` with several units close to
each other in every frame, where the Python search cannot leave much out. All searches take turns
in one run; figures are medians of the thread's processor time, which other programs on the machine
do not lengthen much.

Hotwords are 100 of four units each. The language model is a character bigram, read by KenLM, at
DeepSpeech2's cutoffs; it is left out where flashlight-text is not installed.

    python -m benchmarks.prefix_beam               # some seconds
    python -m benchmarks.prefix_beam --rounds 5 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asrpack.errors import ToolchainError
from asrpack.runtime.decoding import (
    ContextGraph,
    PrefixBeamSearch,
    ctc_align,
    ctc_greedy_search,
    ctc_prefix_beam_search,
)
from asrpack.runtime.decoding.ctc_ngram_beam import NgramBeamSearch, NgramWeights
from asrpack.runtime.decoding.native_beam import native_library
from asrpack.runtime.decoding.ngram import NgramModel
from asrpack.runtime.host import describe_host

FRAMES, UNITS, BEAM = 250, 5538, 10
TOKENS = ["<blank>", *(chr(0x4E00 + unit) for unit in range(1, UNITS))]
Posteriors = NDArray[np.float32]
Search = Callable[[Posteriors], object]
PYTHON = "prefix beam, Python"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asrpack-prefix-beam-") as folder:
        searches = all_searches(Path(folder))
        milliseconds = {
            name: measure(searches, posteriors(name), options.rounds)
            for name in ("clear", "unsure")
        }
    report = {
        "host": describe_host(),
        "compiled": native_library() is not None,
        "milliseconds": milliseconds,
    }
    print(json.dumps(report, indent=1) if options.json else table(milliseconds))


def posteriors(kind: str) -> Posteriors:
    """Log-probabilities of shape (FRAMES, UNITS)."""
    rng = np.random.default_rng(0)
    spoken = rng.random(FRAMES) < 0.25
    logits = rng.standard_normal((FRAMES, UNITS)) * 2
    logits[:, 0] += 14
    logits[spoken, rng.integers(1, UNITS, spoken.sum())] += 16
    if kind == "unsure":
        for _ in range(BEAM):
            logits[np.arange(FRAMES), rng.integers(1, 60, FRAMES)] += rng.normal(12, 2, FRAMES)
    logits -= logits.max(axis=1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.asarray(log_probs, np.float32)


def all_searches(folder: Path) -> dict[str, Search]:
    """By the name that the table prints."""
    rng = np.random.default_rng(1)
    phrases = [(rng.integers(1, 60, 4).tolist(), 2.0) for _ in range(100)]
    hotwords = ContextGraph(phrases)
    units = ctc_prefix_beam_search(posteriors("clear"), BEAM)[0][0]
    searches: dict[str, Search] = {
        "greedy": ctc_greedy_search,
        "alignment of the best": lambda log_probs: ctc_align(log_probs, units),
        "prefix beam, compiled": prefix_beam(None, compiled=True),
        PYTHON: prefix_beam(None, compiled=False),
        "with hotwords, compiled": prefix_beam(hotwords, compiled=True),
        "with hotwords, Python": prefix_beam(hotwords, compiled=False),
        "DeepSpeech2's, without a model": ngram_beam(None),
    }
    try:
        searches["DeepSpeech2's, bigram model"] = ngram_beam(NgramModel(write_bigrams(folder)))
    except ToolchainError:
        pass
    return searches


def prefix_beam(hotwords: ContextGraph | None, *, compiled: bool) -> Search:
    """A whole prefix beam search."""

    def run(log_probs: Posteriors) -> object:
        search = PrefixBeamSearch(BEAM, hotwords=hotwords, compiled=compiled)
        search.advance(log_probs)
        return search.nbest()

    return run


def ngram_beam(model: NgramModel | None) -> Search:
    """A whole search of DeepSpeech2's kind."""

    def run(log_probs: Posteriors) -> object:
        weights = NgramWeights(alpha=1.9, beta=5.0, cutoff_prob=0.99, cutoff_top_n=40)
        search = NgramBeamSearch(TOKENS, model, weights, beam_size=BEAM)
        search.advance(log_probs)
        return search.nbest()

    return run


def write_bigrams(folder: Path) -> Path:
    """An ARPA file of all units and 20,000 pairs."""
    rng = np.random.default_rng(2)
    pairs = sorted({tuple(pair) for pair in rng.integers(1, UNITS, (20000, 2)).tolist()})
    lines = ["\\data\\", f"ngram 1={UNITS + 2}", f"ngram 2={len(pairs)}", "", "\\1-grams:"]
    lines += ["-4\t<unk>\t0", "-99\t<s>\t-0.3", "-2\t</s>\t0"]
    lines += [f"-3.7\t{token}\t-0.3" for token in TOKENS[1:]]
    lines += [
        "",
        "\\2-grams:",
        *(f"-1.5\t{TOKENS[a]} {TOKENS[b]}" for a, b in pairs),
        "",
        "\\end\\",
    ]
    path = folder / "bigrams.arpa"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def measure(searches: dict[str, Search], log_probs: Posteriors, rounds: int) -> dict[str, float]:
    """Median milliseconds of each search; one of each in turn."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(rounds + 1):
        for name, search in searches.items():
            start = time.thread_time()
            search(log_probs)
            times[name].append((time.thread_time() - start) * 1000)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def table(milliseconds: dict[str, dict[str, float]]) -> str:
    """For people."""
    lines = [f"{'ms for 10 s, beam 10':<32}{'clear':>8}{'unsure':>8}   Python / this (unsure)"]
    clear, unsure = milliseconds["clear"], milliseconds["unsure"]
    for name in clear:
        ratio = unsure[PYTHON] / unsure[name]
        lines.append(f"{name:<32}{clear[name]:>8.1f}{unsure[name]:>8.1f}{ratio:>10.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
