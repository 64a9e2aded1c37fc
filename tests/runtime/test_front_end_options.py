"""Each option of a front end changes the features, and what the trained model makes of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrpack.bundle.model import Cmvn, FbankSpec, WaveformSpec
from asrpack.runtime.front_end import FrontEnd

GOLDEN = Path(__file__).parents[1] / "golden" / "kaldi_native_fbank.json"
CASES: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
EPSILON = 1.1920928955078125e-07

OPTIONS: list[dict[str, Any]] = [
    {"sample_rate": 8000},
    {"num_mel_bins": 40},
    {"frame_length_ms": 20.0},
    {"frame_shift_ms": 12.5},
    {"preemphasis": 0.9},
    {"low_freq": 100.0},
    {"high_freq": -400.0},
    {"high_freq": 7000.0},
    {"log_floor": 1e8},
    {"window": "hamming"},
    {"full_scale": 1.0},
    {"stack": 7},
    {"stack_shift": 6},
]


def signal() -> np.ndarray:
    """Half a second of a tone, a sweep and noise, on the int16 scale."""
    time = np.arange(8000) / 16000
    noise = 200 * np.random.default_rng(7).standard_normal(8000)
    sweep = 1500 * np.sin(2 * np.pi * 2300 * time * (1 + time))
    return (3000 * np.sin(2 * np.pi * 440 * time) + sweep + noise).astype(np.float32)


@pytest.mark.parametrize("name", CASES)
def test_equal_to_kaldi_native_fbank(name: str) -> None:
    case = CASES[name]
    feats = FrontEnd(FbankSpec(log_floor=EPSILON, **case["options"]), None)(signal())
    assert len(feats) == case["frames"]
    for row, values in case["rows"].items():
        np.testing.assert_allclose(feats[int(row)][::4], values, atol=2e-3)


def test_every_option_is_tried() -> None:
    assert {name for option in OPTIONS for name in option} == set(FbankSpec.__dataclass_fields__)


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_changes_the_features(option: dict[str, Any]) -> None:
    usual = FrontEnd(FbankSpec(), None)(signal())
    other = FrontEnd(replace(FbankSpec(), **option), None)(signal())
    assert usual.shape != other.shape or np.abs(usual - other).max() > 0.05


@pytest.mark.parametrize("change", ["mean", "istd", "none"])
def test_normalisation_changes_the_features(change: str) -> None:
    cmvn = Cmvn((10.0,) * 80, (0.3,) * 80)
    other = {
        "mean": replace(cmvn, mean=(*cmvn.mean[:-1], 11.0)),
        "istd": replace(cmvn, istd=(*cmvn.istd[:-1], 0.4)),
        "none": None,
    }[change]
    usual, found = (FrontEnd(FbankSpec(), item)(signal()) for item in (cmvn, other))
    changed = np.abs(usual - found).max(0) > 0.01
    assert changed[-1] and (change == "none" or changed.sum() == 1)


def test_samples_are_scaled() -> None:
    samples = signal()
    assert np.array_equal(FrontEnd(WaveformSpec(full_scale=32768.0), None)(samples), samples)
    unit = FrontEnd(WaveformSpec(), None)(samples)
    np.testing.assert_allclose(unit, samples / 32768, rtol=1e-6)
    assert FrontEnd(WaveformSpec(sample_rate=8000), None).samples(80) == 80


def test_stacking_by_hand() -> None:
    """As FunASR's ``apply_lfr``: three copies of the first frame in front, the last one behind."""
    plain = FrontEnd(FbankSpec(), None)(signal())
    stacked = FrontEnd(FbankSpec(stack=7, stack_shift=6), None)(signal())
    assert len(plain) == 48 and stacked.shape == (8, 560)
    padded = np.concatenate([plain[:1]] * 3 + [plain] + [plain[-1:]] * 6)
    for row, found in enumerate(stacked):
        assert np.array_equal(found, padded[6 * row : 6 * row + 7].ravel())
