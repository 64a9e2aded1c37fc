"""Runs two models over a test set on the runtime that ships, and compares what they say."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.measure.error_rate import (
    METRICS,
    Edits,
    Metric,
    count_edits,
    paired_bootstrap,
    total,
)
from asrpack.recipe.manifest import read_manifest
from asrpack.runtime.audio import read_audio
from asrpack.runtime.decoding.ngram import NgramModel
from asrpack.runtime.engines import graph_files
from asrpack.runtime.providers import Provider
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.streaming import StreamingRecognizer

TIMED_UTTERANCES = 32
TIMED_ROUNDS = 5


@dataclass(frozen=True)
class Sample:
    """One utterance of the test set, with its features ready. ``seconds`` of audio."""

    utt: str
    text: str
    features: npt.NDArray[np.float32]
    seconds: float


def load_recognizer(
    description: ModelDescription,
    folder: Path,
    threads: int = 0,
    language_model: Path | None = None,
    target: str = "onnxruntime",
    provider: Provider | None = None,
) -> Recognizer:
    """The runtime's own recogniser on the graphs in a stage's folder.

    Args:
        provider: what runs them; None for the CPU.
    """
    return Recognizer(
        description,
        {name: (folder / name).read_bytes() for name in graph_files(target, description.graphs)},
        target=target,
        ngram=None if language_model is None else NgramModel(language_model),
        threads=threads,
        provider=provider,
    )


def read_samples(
    recognizer: Recognizer,
    manifest: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Sample]:
    """The utterances of a manifest, with features as the recogniser computes them.

    Raises:
        InputError: a recording cannot be read or is too long, or there is none.
    """
    rate = recognizer.description.sample_rate
    utterances = read_manifest(manifest)
    samples = []
    for index, utterance in enumerate(utterances):
        audio = read_audio(utterance.audio, rate)
        features = recognizer.features(audio)
        samples.append(Sample(utterance.id, utterance.text, features, len(audio) / rate))
        progress(index + 1, len(utterances))
    if not samples:
        raise InputError("the test set is empty", code="empty-set", place=str(manifest))
    return samples


Texts = dict[str, dict[str, str]]  # utterance → method → text


def transcribe_all(
    recognizer: Recognizer,
    samples: Sequence[Sample],
    methods: Sequence[str],
    progress: Callable[[int], None],
) -> Texts:
    """Text of every utterance by every method; the encoder runs once an utterance."""
    texts: Texts = {}
    for index, sample in enumerate(samples):
        encoded = recognizer.encode(sample.features)
        texts[sample.utt] = {m: recognizer.decode(encoded, m).text for m in methods}
        progress(index + 1)
    return texts


def stream_all(
    recognizer: Recognizer,
    manifest: Path,
    methods: Sequence[str],
    progress: Callable[[int], None],
) -> Texts:
    """Text of every utterance by every method, heard piece by piece and taken for one utterance.

    Raises:
        InputError: a recording cannot be read.
        UsageError: the model does not stream.
    """
    streams = StreamingRecognizer(recognizer)
    rate = recognizer.description.sample_rate
    texts: Texts = {}
    for index, utterance in enumerate(read_manifest(manifest)):
        audio = read_audio(utterance.audio, rate)
        texts[utterance.id] = {}
        for method in methods:
            stream = streams.stream(method)
            for start in range(0, len(audio), rate):
                stream.accept(audio[start : start + rate])
            texts[utterance.id][method] = stream.finish().text
        progress(index + 1)
    return texts


def compare_texts(
    samples: Sequence[Sample],
    baseline: Texts,
    candidate: Texts,
    method: str,
    names: tuple[str, str] = ("baseline", "candidate"),
) -> dict[str, Any]:
    """Error rates of both by one method, and what changed between them.

    Args:
        names: what the two are called in the result.
    """
    result: dict[str, Any] = {
        "changed": sum(baseline[s.utt][method] != candidate[s.utt][method] for s in samples),
        # Empty where the baseline is not: damage that a mean hides.
        "emptied": [
            s.utt for s in samples if baseline[s.utt][method] and not candidate[s.utt][method]
        ],
    }
    for metric in METRICS:
        before = _edits(samples, baseline, method, metric)
        after = _edits(samples, candidate, method, metric)
        low, high = paired_bootstrap(before, after)
        result[metric] = {
            names[0]: total(before).as_dict(),
            names[1]: total(after).as_dict(),
            "increase": total(after).rate - total(before).rate,
            "increase_interval_95": [low, high],
        }
    return result


def _edits(samples: Sequence[Sample], texts: Texts, method: str, metric: Metric) -> list[Edits]:
    return [count_edits(s.text, texts[s.utt][method], metric) for s in samples]


def time_pair(
    baseline: Recognizer,
    candidate: Recognizer,
    samples: Sequence[Sample],
    method: str,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Paired timing, encoder and decoding, models alternating round by round.

    An utterance's time is its median over the rounds, so that a machine busy for a moment with
    something else does not decide.

    Returns:
        Real-time factors (processing seconds per second of audio), their ratio, and the least
        and greatest ratio of a single round, which tell how noisy the machine was.
    """
    chosen = spread(samples, TIMED_UTTERANCES)
    audio = sum(sample.seconds for sample in chosen)
    seconds = np.empty((TIMED_ROUNDS, 2, len(chosen)))
    models = (baseline, candidate)
    for model in models:  # warms up
        _time_each(model, chosen, method)
    for index in range(TIMED_ROUNDS):
        for which in (0, 1) if index % 2 else (1, 0):
            seconds[index, which] = _time_each(models[which], chosen, method)
        progress(index + 1)
    before, after = np.median(seconds, axis=0).sum(axis=1)
    rounds = seconds.sum(axis=2)
    ratios = rounds[:, 0] / rounds[:, 1]
    return {
        "method": method,
        "utterances": len(chosen),
        "audio_seconds": audio,
        "rounds": TIMED_ROUNDS,
        "baseline_rtf": before / audio,
        "candidate_rtf": after / audio,
        "speedup": before / after,
        "speedup_range": [ratios.min(), ratios.max()],
    }


def _time_each(recognizer: Recognizer, samples: Sequence[Sample], method: str) -> list[float]:
    times = []
    for sample in samples:
        began = time.perf_counter()
        recognizer.decode(recognizer.encode(sample.features), method)
        times.append(time.perf_counter() - began)
    return times


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most ``count`` samples, evenly over their lengths, the shortest first."""
    ordered = sorted(samples, key=lambda sample: (sample.seconds, sample.utt))
    if len(ordered) <= count:
        return ordered
    picks = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return [ordered[index] for index in picks]
