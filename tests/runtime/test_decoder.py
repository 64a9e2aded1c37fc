"""An attention decoder of whole hypotheses and step by step, with and without a cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asrpack.bundle.model import DecodeDefaults
from asrpack.errors import ToolchainError
from asrpack.runtime.decoder import Decoder
from asrpack.runtime.decoding import attention_search
from asrpack.runtime.decoding.hypotheses import padded
from asrpack.runtime.engines import Graph, open_graph
from asrpack.runtime.recognizer import Recognizer
from tests.runtime import tiny, tiny_paddle
from tests.runtime.test_recognizer import NOISE

OUT = np.random.default_rng(4).normal(size=(7, tiny.BINS)).astype(np.float32)
HYPOTHESES = [(2, 3, 4, 2), (2, 3, 2, 0), (4, 2, 2, 1)]
EOS = tiny.SIZE - 1


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


def side_by_side(decoder: Decoder, encoder_out: np.ndarray, hypotheses: Any) -> list[np.ndarray]:
    """Of each hypothesis (n + 1, V)."""
    log_probs, places = decoder.prefixes(encoder_out, hypotheses)
    return [log_probs[place] for place in places]


@pytest.mark.parametrize("target", ["onnxruntime", "paddle_inference"])
def test_a_cache_saves_what_was_worked_out(target: str) -> None:
    files = {"decoder.onnx": tiny.cached_decoder()}
    graph = Counting(target, files if target == "onnxruntime" else tiny_paddle.cached_decoder())
    decoder = Decoder(graph, tiny.describe())
    whole = side_by_side(decoder, OUT, HYPOTHESES)
    assert np.shape(whole) == (3, 5, tiny.SIZE)
    hyps, _ = padded(HYPOTHESES, EOS, EOS, 0)
    np.testing.assert_allclose(steps(decoder, OUT, hyps), whole, atol=1e-6)
    # sos is common to all three, and two units more to two of them.
    assert graph.positions == [11, 1, 1, 1, 1, 1]


def test_without_a_cache_all_is_worked_out_again() -> None:
    graph = Counting("onnxruntime", {"decoder.onnx": tiny.decoder()})
    decoder = Decoder(graph, tiny.describe())
    whole = side_by_side(decoder, OUT, HYPOTHESES)
    hyps, _ = padded(HYPOTHESES, EOS, EOS, 0)
    np.testing.assert_array_equal(steps(decoder, OUT, hyps), whole)
    assert graph.positions == [5, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("graph", [tiny.cached_decoder(), tiny.decoder()], ids=["own", "foreign"])
def test_hypotheses_do_not_change_one_another(graph: bytes) -> None:
    decoder = Decoder(
        open_graph("onnxruntime", "decoder", {"decoder.onnx": graph}), tiny.describe()
    )
    hypotheses = [(2, 3, 4), (2, 3), (), (2, 3, 4, 4), (2, 3)]
    for found, units in zip(side_by_side(decoder, OUT, hypotheses), hypotheses, strict=True):
        (alone,) = side_by_side(decoder, OUT, [units])
        assert found.shape == (len(units) + 1, tiny.SIZE)
        np.testing.assert_allclose(found, alone, atol=1e-6)


def test_no_tree_is_larger_than_the_graph_takes() -> None:
    graph = Counting("onnxruntime", {"decoder.onnx": tiny.cached_decoder()})
    whole = side_by_side(Decoder(graph, tiny.describe()), OUT, HYPOTHESES)
    short = Decoder(graph, tiny.describe(max_frames=4))
    np.testing.assert_allclose(side_by_side(short, OUT, HYPOTHESES), whole, atol=1e-6)
    assert graph.positions == [11, 5, 5, 5]


def test_a_graph_of_an_earlier_asrpack_is_refused() -> None:
    graph = Counting("onnxruntime", {"decoder.onnx": tiny.cached_decoder()})
    graph.inputs = {name: shape for name, shape in graph.inputs.items() if name != "ancestors"}
    with pytest.raises(ToolchainError, match="trees of hypotheses") as caught:
        Decoder(graph, tiny.describe())
    assert "build the bundle again" in caught.value.remedy


def test_attention_decoding_goes_by_the_cache() -> None:
    """With one beam, where no cache can come to another beam than its own."""
    about = tiny.describe(decode=DecodeDefaults("attention", beam_size=1))
    graphs = tiny.graphs() | {"decoder.onnx": tiny.cached_decoder()}
    recognizer = Recognizer(about, graphs, threads=1)
    encoded = recognizer.encode(recognizer.features(NOISE[:6000]))
    assert encoded.encoder_out is not None
    out, decoder = encoded.encoder_out, recognizer.decoders["decoder"]

    def again(hyps: np.ndarray, _: Any) -> tuple[np.ndarray, None]:
        return decoder.prefixes(out, [tuple(hyps[0, 1:].tolist())])[0][-1:], None

    (units, score), *_ = attention_search(again, len(out), beam_size=1, sos_id=EOS, eos_id=EOS)
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
    hyps[2, 1:4] = hyps[0, 1:4]
    stepwise = steps(decoder, encoded.encoder_out, hyps)
    hypotheses = [tuple(row[1:size]) for row, size in zip(hyps.tolist(), (9, 7, 6, 1), strict=True)]
    whole = side_by_side(decoder, encoded.encoder_out, hypotheses)
    for ours, expected in zip(stepwise, whole, strict=True):
        np.testing.assert_allclose(ours[: len(expected)], expected, atol=1e-4)
        np.testing.assert_allclose(np.exp(expected).sum(axis=-1), 1, atol=1e-4)
