"""Rescoring with the right-to-left decoder, where a model has one and its weight is above 0."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from asrpack.bundle.model import DecodeDefaults, ModelDescription
from asrpack.errors import ToolchainError
from asrpack.runtime.decoder import Decoder
from asrpack.runtime.decoding import (
    ContextGraph,
    attention_rescoring,
    bidirectional_rescoring,
    ctc_prefix_beam_search,
)
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.search import Encoded
from asrpack.runtime.streaming import StreamingRecognizer
from tests.runtime import tiny
from tests.runtime.test_recognizer import NOISE

EOS = tiny.TOKENS.index("<eos>")


def describe(reverse_weight: float) -> ModelDescription:
    return tiny.describe(
        graphs=("encoder", "decoder", "right_decoder"),
        decode=DecodeDefaults(beam_size=4, reverse_weight=reverse_weight),
    )


def load(reverse_weight: float) -> Recognizer:
    graphs = tiny.graphs() | {"right_decoder.onnx": tiny.decoder(seed=9)}
    return Recognizer(describe(reverse_weight), graphs, threads=1)


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    recognizer = load(0.3)
    return recognizer.encode(recognizer.features(NOISE[:8000]))


def prefixes(decoder: Decoder, encoded: Encoded) -> Any:
    assert encoded.encoder_out is not None
    return partial(decoder.prefixes, encoded.encoder_out)


@pytest.mark.parametrize("reverse_weight", [0.3, 1.0])
def test_as_by_hand(encoded: Encoded, reverse_weight: float) -> None:
    recognizer = load(reverse_weight)
    left = prefixes(recognizer.decoders["decoder"], encoded)
    right = prefixes(recognizer.decoders["right_decoder"], encoded)
    expected = bidirectional_rescoring(
        ctc_prefix_beam_search(encoded.ctc_log_probs, 4),
        left,
        right,
        ctc_weight=0.5,
        reverse_weight=reverse_weight,
        eos_id=EOS,
    )
    found = recognizer.nbest(encoded, "attention_rescoring")
    assert [(item.tokens, item.score) for item in found] == expected
    one_way = load(0.0).nbest(encoded, "attention_rescoring")
    assert [item.score for item in found] != [item.score for item in one_way]


def test_hotwords_count_there_too(encoded: Encoded) -> None:
    hotwords = ContextGraph([((3, 3), 2.0)])
    recognizer = load(0.3)
    plain = {item.tokens: item.score for item in recognizer.nbest(encoded)}
    helped = {item.tokens: item.score for item in recognizer.nbest(encoded, hotwords=hotwords)}
    common = plain.keys() & helped.keys()
    assert any(helped[units] > plain[units] + 1 for units in common)


def test_without_weight_it_never_runs(encoded: Encoded, monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = load(0.0)
    monkeypatch.setitem(recognizer.decoders, "right_decoder", None)
    expected = attention_rescoring(
        ctc_prefix_beam_search(encoded.ctc_log_probs, 4),
        prefixes(recognizer.decoders["decoder"], encoded),
        ctc_weight=0.5,
        eos_id=EOS,
    )
    found = recognizer.nbest(encoded, "attention_rescoring")
    assert [(item.tokens, item.score) for item in found] == expected


@pytest.mark.parametrize("method", ["ctc_greedy_search", "ctc_prefix_beam_search", "attention"])
def test_other_methods_never_run_it(
    encoded: Encoded, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = load(0.3)
    monkeypatch.setitem(recognizer.decoders, "right_decoder", None)
    assert recognizer.nbest(encoded, method) == load(0.0).nbest(encoded, method)


def test_one_that_cannot_be_loaded() -> None:
    with pytest.raises(ToolchainError, match=r"right_decoder\.onnx"):
        Recognizer(describe(0.3), tiny.graphs() | {"right_decoder.onnx": b"none"}, threads=1)


def test_streams_rescore_with_it() -> None:
    scores = []
    for reverse_weight in (0.0, 0.3):
        about = replace(describe(reverse_weight), streaming=tiny.describe_streaming().streaming)
        graphs = tiny.streaming_graphs() | {"right_decoder.onnx": tiny.decoder(seed=9)}
        stream = StreamingRecognizer(Recognizer(about, graphs, threads=1)).stream()
        stream.accept(NOISE[:8000])
        scores.append(stream.finish().score)
    assert scores[0] != scores[1] and max(scores) < 0
