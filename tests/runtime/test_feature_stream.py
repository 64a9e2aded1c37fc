"""Features of a stream against those of the whole recording: the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from asrpack.bundle.model import Cmvn, FbankSpec, FrontEndSpec, WaveformSpec
from asrpack.runtime.feature_stream import FeatureStream
from asrpack.runtime.front_end import FrontEnd

NOISE = np.random.default_rng(3).normal(0, 3000, 50_001).astype(np.float32)
BINS = 80
CMVN = Cmvn(tuple(np.linspace(5, 9, BINS)), tuple(np.linspace(0.2, 0.4, BINS)))


def streamed(front_end: FrontEnd, sizes: list[int]) -> np.ndarray:
    stream, found, at, turn = FeatureStream(front_end), [], 0, 0
    while at < len(NOISE):
        size = sizes[turn % len(sizes)]
        found.append(stream.accept(NOISE[at : at + size]))
        at, turn = at + size, turn + 1
    return np.concatenate(found)


@pytest.mark.parametrize("sizes", [[1, 399], [160], [161], [1, 7000, 3], [16000], [10**6]])
@pytest.mark.parametrize(
    ("spec", "cmvn"),
    [
        (FbankSpec(num_mel_bins=BINS), CMVN),
        (FbankSpec(num_mel_bins=161), None),
        (FbankSpec(sample_rate=8000, num_mel_bins=40, window="hamming", full_scale=1.0), None),
        (WaveformSpec(), None),
    ],
    ids=["80 bins", "161 bins", "8 kHz", "samples"],
)
def test_any_pieces_give_the_same_bits(
    spec: FrontEndSpec, cmvn: Cmvn | None, sizes: list[int]
) -> None:
    front_end = FrontEnd(spec, cmvn)
    whole = front_end(NOISE)
    assert len(whole) > 100
    np.testing.assert_array_equal(streamed(front_end, sizes), whole)


def test_it_holds_less_than_a_window() -> None:
    stream = FeatureStream(FrontEnd(FbankSpec(), None))
    for _ in range(5):
        stream.accept(NOISE)
        assert len(stream._samples) < 400 and stream._samples.base is None
