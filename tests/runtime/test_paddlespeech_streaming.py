"""Streams of the quickstart model against PaddleSpeech's own simulated streaming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from asrpack.measure.paddlespeech import Options
from asrpack.recipe.manifest import Utterance
from asrpack.runtime.audio import read_audio
from asrpack.runtime.streaming import StreamingRecognizer

if TYPE_CHECKING:
    from asrpack.measure.paddlespeech_u2 import PaddleSpeechU2

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

CHUNKS = Options(chunk_size=16, left_chunks=-1)


def test_text_equals_paddlespeechs_by_every_method_whatever_the_pieces(
    oracle: PaddleSpeechU2,
    utterances: dict[str, Utterance],
    streaming_recognizer: StreamingRecognizer,
) -> None:
    """All 105 recordings; pieces of 10 ms to the whole recording, another size for each."""
    about = streaming_recognizer.recognizer.description
    assert about.streaming is not None
    assert about.streaming.chunk_size == CHUNKS.chunk_size
    assert about.streaming.left_chunks == CHUNKS.left_chunks
    assert len(utterances) == 105
    sizes = np.random.default_rng(0).choice([160, 401, 1600, 5000, 10**6], len(utterances))
    heard = 0
    for size, (name, utterance) in zip(sizes, utterances.items(), strict=True):
        features = oracle.features(oracle.samples(utterance.audio))
        samples = read_audio(utterance.audio, 16000)
        for method in about.methods:
            stream = streaming_recognizer.stream(method)
            for start in range(0, len(samples), size):
                stream.accept(samples[start : start + size])
            expected = oracle.decode(features, method, CHUNKS)
            assert stream.finish().text == expected, (name, method)
            heard += bool(expected)
    assert heard > 300


def test_whole_recordings_are_decoded_as_without_streaming(
    oracle: PaddleSpeechU2,
    utterances: dict[str, Utterance],
    streaming_recognizer: StreamingRecognizer,
) -> None:
    """The graph with states serves them, too."""
    recognizer = streaming_recognizer.recognizer
    for name in list(utterances)[:10]:
        features = oracle.features(oracle.samples(utterances[name].audio))
        found, expected = recognizer.encode(features), oracle.outputs(features)
        assert np.abs(found.encoder_out - expected.encoder_out).max() <= 1e-4, name
        for method in recognizer.description.methods:
            assert recognizer.decode(found, method).text == oracle.decode(features, method)
