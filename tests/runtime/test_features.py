"""The filterbank against its definition, and its properties."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrpack.bundle.model import Cmvn, FbankSpec
from asrpack.runtime import features
from asrpack.runtime.features import Fbank, apply_cmvn, mel_filters, povey_window

SPEC = FbankSpec()
FBANK = Fbank(SPEC)
SPEECH = np.random.default_rng(0).normal(0, 2000, 16000).round().astype(np.float32)


def by_definition(samples: np.ndarray, spec: FbankSpec) -> np.ndarray:
    """Kaldi's fbank written out frame by frame, sample by sample, with a plain DFT."""
    size = int(spec.sample_rate * spec.frame_length_ms / 1000)
    shift = int(spec.sample_rate * spec.frame_shift_ms / 1000)
    points = 2 ** math.ceil(math.log2(size))
    mel = lambda hz: 1127 * math.log(1 + hz / 700)  # noqa: E731
    edges = np.linspace(
        mel(spec.low_freq),
        mel(
            spec.sample_rate / 2 + min(spec.high_freq, 0) if spec.high_freq <= 0 else spec.high_freq
        ),
        spec.num_mel_bins + 2,
    )
    window = [(0.5 - 0.5 * math.cos(2 * math.pi * i / (size - 1))) ** 0.85 for i in range(size)]
    dft = np.exp(-2j * np.pi * np.outer(np.arange(points // 2), np.arange(size)) / points)
    rows = []
    for start in range(0, len(samples) - size + 1, shift):
        frame = samples[start : start + size].astype(np.float64)
        frame = frame - frame.mean()
        previous = np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(dft @ ((frame - spec.preemphasis * previous) * window)) ** 2
        row = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            energy = 0.0
            for k, value in enumerate(power):
                at = mel(k * spec.sample_rate / points)
                if left < at < right:
                    slope = (at - left) / (centre - left)
                    energy += value * min(slope, (right - at) / (right - centre))
            row.append(math.log(max(energy, spec.log_floor)))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(
    "spec",
    [
        FbankSpec(),
        FbankSpec(num_mel_bins=161),
        FbankSpec(sample_rate=8000, num_mel_bins=40),
        FbankSpec(sample_rate=11025, num_mel_bins=23, low_freq=60, high_freq=-400),
        FbankSpec(num_mel_bins=30, high_freq=7000, preemphasis=0.0, frame_length_ms=32),
    ],
    ids=str,
)
def test_follows_the_definition(spec: FbankSpec) -> None:
    samples = SPEECH[: spec.sample_rate // 8]
    assert np.abs(Fbank(spec)(samples) - by_definition(samples, spec)).max() < 1e-5


@given(st.integers(0, 5000))
@settings(max_examples=60)
def test_frame_count(count: int) -> None:
    frames = 0 if count < 400 else 1 + (count - 400) // 160
    assert FBANK(SPEECH[:count]).shape == (frames, 80)
    assert FBANK.frames(count) == frames


@given(st.integers(0, 4000))
def test_samples_is_the_inverse_of_frames(frames: int) -> None:
    most = FBANK.samples(frames)
    assert (FBANK.frames(most), FBANK.frames(most + 1)) == (frames, frames + 1)


@pytest.mark.parametrize("level", [0, 1, 12345, -32768])
def test_silence_and_constant_offset_give_the_log_floor(level: int) -> None:
    silence = np.full(4000, level, np.float32)
    assert np.allclose(FBANK(silence), math.log(1e-7))


@given(st.floats(0.01, 1.0))
def test_gain_shifts_by_its_logarithm(gain: float) -> None:
    shift = FBANK(SPEECH * np.float32(gain)) - FBANK(SPEECH)
    assert np.allclose(shift, 2 * math.log(gain), atol=2e-3)


def test_delay_by_one_shift_moves_one_frame() -> None:
    assert np.array_equal(FBANK(SPEECH[160:]), FBANK(SPEECH)[1:])


@pytest.mark.parametrize("frames", [255, 256, 257, 700])
def test_blocks_leave_no_seam(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.tile(SPEECH, 8)[: FBANK.samples(frames)]
    blocks = FBANK(samples)
    monkeypatch.setattr(features, "BLOCK_FRAMES", 1 << 30)
    assert np.array_equal(blocks, FBANK(samples))


def test_memory_stays_bounded_on_long_audio() -> None:
    samples = np.tile(SPEECH, 120)  # two minutes: all spectra at once would take 50 MB
    tracemalloc.start()
    result = FBANK(samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < result.nbytes + (12 << 20)


def test_filters_are_triangles_of_height_one_at_most_that_overlap_by_half() -> None:
    filters = mel_filters(SPEC, 512)
    assert filters.shape == (80, 257)
    assert filters.max() <= 1 and filters.min() == 0 and not filters[:, -1].any()
    # Between the first and the last centre two neighbours add up to one.
    inside = filters.sum(axis=0)[4:245]
    assert np.allclose(inside, 1)


def test_povey_window_is_symmetric_and_ends_in_zero() -> None:
    window = povey_window(400)
    assert np.allclose(window, window[::-1]) and window[0] == 0 and window.max() <= 1


def test_cmvn_normalises_to_what_it_was_measured_on() -> None:
    feats = FBANK(SPEECH)
    mean, std = feats.mean(axis=0, dtype=np.float64), feats.std(axis=0, dtype=np.float64)
    normalised = apply_cmvn(feats, Cmvn(tuple(mean.tolist()), tuple((1 / std).tolist())))
    assert normalised.dtype == np.float32
    assert np.allclose(normalised.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(normalised.std(axis=0), 1, atol=1e-5)


def test_no_cmvn_changes_nothing() -> None:
    feats = FBANK(SPEECH)
    assert apply_cmvn(feats, None) is feats


@pytest.mark.parametrize("bins", [23, 80, 161])
def test_a_frame_is_the_same_to_the_last_bit_whatever_it_is_computed_with(bins: int) -> None:
    """Before rounding to float32, too, which hides nearly all of it: streams rely on it."""
    fbank = Fbank(FbankSpec(num_mel_bins=bins))
    windows = np.random.default_rng(4).normal(0, 3000, (70, 400)).astype(np.float32)
    together = fbank._log_mel(windows)
    for size in (1, 3, 33):
        for start in range(0, 70, size):
            alone = fbank._log_mel(windows[start : start + size])
            np.testing.assert_array_equal(alone, together[start : start + size])
