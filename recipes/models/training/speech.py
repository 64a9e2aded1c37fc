"""What the training and the evaluation share: manifests, features, augmentation, batches."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

# PaddleSpeech calls pip on import for what it thinks is missing.
os.environ.setdefault("PIP_NO_INDEX", "1")

RATE = 16000
LEAST_VARIANCE = 1e-4  # of a filter's logarithm
IGNORE_ID = -1  # PaddleSpeech's padding of the labels


@dataclass(frozen=True)
class Utterance:
    """A recording and what is said in it."""

    audio: Path
    text: str


@dataclass(frozen=True)
class Example:
    """Features before normalization, float32 of shape (T, bins), and unit ids."""

    features: np.ndarray
    units: list[int]


@dataclass(frozen=True)
class Batch:
    """Padded arrays as PaddleSpeech's networks take them.

    Attributes:
        features: float32, shape (B, T, bins).
        lengths: int64, shape (B,), frames.
        units: int64, shape (B, U), padded with `IGNORE_ID`.
        unit_lengths: int64, shape (B,).
    """

    features: np.ndarray
    lengths: np.ndarray
    units: np.ndarray
    unit_lengths: np.ndarray


@dataclass(frozen=True)
class Cmvn:
    """Sums over all frames, as PaddleSpeech's `cmvn_json` keeps them."""

    total: np.ndarray
    total_of_squares: np.ndarray
    frames: int

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Cmvn:
        """Over every frame of `examples`.

        Three of 161 filters lie between two frequencies of the FFT and give the floor of the
        logarithm always: their variance is rounding, below 0 or above, and PaddleSpeech would
        take its root. It is written as `LEAST_VARIANCE`.
        """
        frames = sum(len(example.features) for example in examples)
        total = np.sum([e.features.sum(axis=0, dtype=np.float64) for e in examples], axis=0)
        squares = [np.square(e.features, dtype=np.float64).sum(axis=0) for e in examples]
        least = frames * ((total / frames) ** 2 + LEAST_VARIANCE)
        return cls(total, np.maximum(np.sum(squares, axis=0), least), frames)

    def normalize(self, features: np.ndarray) -> np.ndarray:
        """Mean 0 and variance 1 per bin, float32."""
        mean = self.total / self.frames
        deviation = np.sqrt(self.total_of_squares / self.frames - mean**2)
        return ((features - mean) / deviation).astype(np.float32)

    def write(self, path: Path) -> None:
        """`mean_std.json` in PaddleSpeech's form."""
        sums = {
            "mean_stat": self.total.tolist(),
            "var_stat": self.total_of_squares.tolist(),
            "frame_num": self.frames,
        }
        path.write_text(json.dumps(sums), encoding="utf-8")


def read_manifest(path: Path) -> list[Utterance]:
    """JSON lines with `audio`, relative to the manifest, and `text`."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Utterance(path.parent / line["audio"], line["text"]) for line in lines]


def read_samples(path: Path) -> np.ndarray:
    """A mono recording of 16 kHz as int16.

    Raises:
        ValueError: another rate, or more channels.
    """
    samples, rate = sf.read(path, dtype="int16")
    if rate != RATE or samples.ndim != 1:
        raise ValueError(f"{path}: {rate} Hz, shape {samples.shape}; 16000 Hz mono is wanted")
    return samples


def fbank_step(bins: int) -> dict[str, Any]:
    """The first step of `preprocess_config` in PaddleSpeech's `model.yaml`."""
    return {
        "type": "fbank_kaldi",
        "fs": RATE,
        "n_mels": bins,
        "n_shift": 160,
        "win_length": 400,
        "dither": 0.1,
    }


def read_examples(utterances: Sequence[Utterance], text_feature: Any, bins: int) -> list[Example]:
    """PaddleSpeech's own filterbank (without dither) and units of every utterance."""
    from paddlespeech.audio.transform.transformation import Transformation

    fbank = Transformation({"process": [fbank_step(bins)]})
    return [
        Example(
            fbank(read_samples(utterance.audio), train=False).astype(np.float32),
            text_feature.featurize(utterance.text),
        )
        for utterance in utterances
    ]


def augment(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another level and channel, and SpecAugment's masks, on normalized features.

    Source: Park et al., "SpecAugment", Interspeech 2019; widths are for short utterances.
    """
    frames, bins = features.shape
    features = features.copy()
    if rng.random() < 0.5:
        features += rng.uniform(-0.5, 0.5)
    if rng.random() < 0.4:
        slope = rng.standard_normal(bins) * 0.05 * np.sqrt(80 / bins)
        features += np.cumsum(slope).astype(np.float32)
    for _ in range(2):
        width = rng.integers(0, bins // 8 + 1)
        start = rng.integers(0, bins - width + 1)
        features[:, start : start + width] = 0
        length = rng.integers(0, min(20, frames // 8) + 1)
        begin = rng.integers(0, frames - length + 1)
        features[begin : begin + length] = 0
    return features


def batches(
    examples: Sequence[Example], cmvn: Cmvn, frames: int, rng: np.random.Generator, shuffle: bool
) -> Iterator[Batch]:
    """One epoch: utterances of like length together, at most `frames` a batch with the padding.

    Args:
        shuffle: batches in random order; else from short to long, which is the easier start.
    """
    order = sorted(examples, key=lambda example: len(example.features))
    groups: list[list[Example]] = [[]]
    for example in order:
        if (len(groups[-1]) + 1) * len(example.features) > frames:
            groups.append([])
        groups[-1].append(example)
    if shuffle:
        rng.shuffle(groups)
    for group in groups:
        features = [augment(cmvn.normalize(example.features), rng) for example in group]
        yield Batch(
            pad(features, 0.0),
            np.array([len(item) for item in features], np.int64),
            pad([np.array(example.units, np.int64) for example in group], IGNORE_ID),
            np.array([len(example.units) for example in group], np.int64),
        )


def pad(items: Sequence[np.ndarray], value: float) -> np.ndarray:
    """Stacks arrays of different first dimension, filled up with `value`."""
    longest = max(len(item) for item in items)
    out = np.full((len(items), longest, *items[0].shape[1:]), value, items[0].dtype)
    for row, item in zip(out, items, strict=True):
        row[: len(item)] = item
    return out
