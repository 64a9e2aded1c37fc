"""An attention decoder step by step, with and without a cache, against all of it at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asrpack.bundle.model import DecodeDefaults
from asrpack.runtime.decoder import Decoder
from asrpack.runtime.decoding import attention_search
from asrpack.runtime.engines import Graph, open_graph
from asrpack.runtime.recognizer import Recognizer
from tests.runtime import tiny, tiny_paddle
from tests.runtime.test_recognizer import NOISE

OUT = np.random.default_rng(4).normal(size=(7, tiny.BINS)).astype(np.float32)
HYPS = np.array([[5, 2, 3, 4, 2], [5, 3, 3, 2, 0], [5, 4, 2, 2, 1]], np.int64)


class Counting:
    """A graph, and how many positions of the hypotheses it was asked about at each call."""

    def __init__(self, target: str, files: dict[str, bytes]) -> None:
        self._graph: Graph = open_graph(target, "decoder", files, 1)
        self.inputs, self.outputs = self._graph.inputs, self._graph.outputs
        self.positions: list[int] = []

    def run(self, names: Any, feed: dict[str, Any]) -> Any:
        outputs = self._graph.run(names, feed)
        self.positions.append(outputs[0].shape[1])
        return outputs


def steps(decoder: Decoder, encoder_out: np.ndarray, hyps: np.ndarray) -> np.ndarray:
    """(N, L, V), one position a call."""
    found, cache = [], None
    for length in range(1, hyps.shape[1] + 1):
        log_probs, cache = decoder.step(encoder_out, hyps[:, :length], cache)
        found.append(log_probs)
    return np.stack(found, axis=1)


def lengths(hyps: np.ndarray) -> np.ndarray:
    return np.full(len(hyps), hyps.shape[1], np.int64)


@pytest.mark.parametrize("target", ["onnxruntime", "paddle_inference"])
def test_a_cache_saves_what_was_worked_out(target: str) -> None:
    files = {"decoder.onnx": tiny.cached_decoder()}
    graph = Counting(target, files if target == "onnxruntime" else tiny_paddle.cached_decoder())
    decoder = Decoder(graph)
    whole = decoder.whole(OUT, HYPS, lengths(HYPS))
    assert whole.shape == (3, 5, tiny.SIZE)
    np.testing.assert_allclose(steps(decoder, OUT, HYPS), whole, atol=1e-6)
    assert graph.positions == [5, 1, 1, 1, 1, 1]


def test_without_a_cache_all_is_worked_out_again() -> None:
    graph = Counting("onnxruntime", {"decoder.onnx": tiny.decoder()})
    decoder = Decoder(graph)
    whole = decoder.whole(OUT, HYPS, lengths(HYPS))
    np.testing.assert_array_equal(steps(decoder, OUT, HYPS), whole)
    assert graph.positions == [5, 1, 2, 3, 4, 5]


def test_attention_decoding_goes_by_the_cache() -> None:
    """With one beam, where no cache can come to another beam than its own."""
    about = tiny.describe(decode=DecodeDefaults("attention", beam_size=1))
    graphs = tiny.graphs() | {"decoder.onnx": tiny.cached_decoder()}
    recognizer = Recognizer(about, graphs, threads=1)
    encoded = recognizer.encode(recognizer.features(NOISE[:6000]))
    assert encoded.encoder_out is not None
    out, decoder, eos = encoded.encoder_out, recognizer.decoders["decoder"], tiny.SIZE - 1
    (units, score), *_ = attention_search(
        lambda hyps, _: (decoder.whole(out, hyps, lengths(hyps))[:, -1], None),
        len(out),
        beam_size=1,
        sos_id=eos,
        eos_id=eos,
    )
    found = recognizer.decode(encoded)
    assert found.tokens == units and len(units) > 1
    assert found.score == pytest.approx(score, abs=1e-5)


@pytest.mark.slow
def test_the_quickstarts_decoder(recognizer: Recognizer) -> None:
    """As a build converts it: cached steps, and whole hypotheses of several lengths."""
    decoder = recognizer.decoders["decoder"]
    encoded = recognizer.encode(recognizer.features(NOISE))
    assert encoded.encoder_out is not None
    last = len(recognizer.description.tokens) - 1
    hyps = np.random.default_rng(5).integers(1, last, size=(4, 9))
    hyps[:, 0] = last
    lens = np.array([9, 7, 3, 1], np.int64)
    whole = decoder.whole(encoded.encoder_out, hyps, lens)
    stepwise = steps(decoder, encoded.encoder_out, hyps)
    for ours, expected, length in zip(stepwise, whole, lens, strict=True):
        np.testing.assert_allclose(ours[:length], expected[:length], atol=1e-4)
    np.testing.assert_allclose(np.exp(whole).sum(axis=-1), 1, atol=1e-4)
