"""Export, conversion and optimization for real, and ONNX Runtime against the network itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from asrpack.measure.cases import Run, onnx_run
from asrpack.measure.compare import compare
from asrpack.networks.deepspeech2_spec import SUBSAMPLING, DeepSpeech2Spec
from asrpack.networks.families import graph_specs, layers
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.states import EncoderState
from asrpack.runtime.streaming import StreamingRecognizer
from tests.networks.deepspeech2_graph import optimize
from tests.networks.deepspeech2_variants import STREAMING, VARIANTS, batch, description, weights

pytest.importorskip("paddle2onnx")


def optimize_variant(spec: DeepSpeech2Spec, workspace: Path) -> Path:
    return optimize(description(spec), weights(spec), workspace)


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a variant's graph, made once."""
    return cache(lambda name: optimize_variant(VARIANTS[name], tmp_path_factory.mktemp("model")))


def network(spec: DeepSpeech2Spec) -> Run:
    from asrpack.networks.inference_files import run_layer

    about = description(spec)
    (graph,), layer = graph_specs(about), layers(about, weights(spec))["encoder"]
    return lambda name, feed: run_layer(layer, graph, feed)


def feed(spec: DeepSpeech2Spec, lengths: tuple[int, ...], seed: int = 7) -> dict[str, Any]:
    """A batch whose streams are under way."""
    found: dict[str, Any] = {"feats": batch(spec, lengths, seed), "feat_lens": np.array(lengths)}
    about = description(spec).streaming
    if about is not None:
        generator = np.random.default_rng(seed)
        for name, array in EncoderState.start(about, len(lengths)).arrays.items():
            found[name] = generator.normal(size=array.shape).astype(np.float32)
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_onnx_gives_what_the_network_gives(name: str, optimized: Callable[[str], Path]) -> None:
    """Batches and lengths that were never traced, states that are not zeros."""
    spec = VARIANTS[name]
    run, expect = onnx_run(optimized(name)), network(spec)
    for lengths in ((7,), (90,), (200, 199, 50), (33, 8, 33, 6, 20)):
        given = feed(spec, lengths)
        expected = expect("encoder", given)
        assert expected["out_lens"].tolist() == [SUBSAMPLING.length(count) for count in lengths]
        compare(
            "test",
            expected,
            run("encoder", given),
            lengths={"ctc_log_probs": expected["out_lens"]},
        )


def test_recurrent_layers_are_one_operator_each(optimized: Callable[[str], Path]) -> None:
    graph = onnx.load(optimized("lstm both ways") / "encoder.onnx").graph
    nodes = [node for node in graph.node if node.op_type == "LSTM"]
    assert len(nodes) == 3
    constants = {item.name for item in graph.initializer}
    for node in nodes:
        assert set(node.input[1:4]) <= constants
    # One value of lengths for all, and not a loop in the graph.
    assert {bool(node.input[4]) for node in nodes} == {True}
    assert not {node.op_type for node in graph.node} & {"Loop", "Scan", "If"}


@pytest.mark.parametrize("name", STREAMING)
def test_chunks_in_onnx_runtime_give_what_the_whole_gives(
    name: str, optimized: Callable[[str], Path]
) -> None:
    spec = STREAMING[name]
    about = description(spec).streaming
    assert about is not None
    run = onnx_run(optimized(name))
    feats, start = batch(spec, (150,)), EncoderState.start(about)
    whole = run("encoder", {"feats": feats, "feat_lens": np.array([150]), **start.feed(about)})
    stride = about.chunk_size * SUBSAMPLING.factor
    window = stride - SUBSAMPLING.factor + SUBSAMPLING.right_context + 1
    state, parts = start, []
    for begin in range(0, 150 - SUBSAMPLING.right_context, stride):
        chunk = feats[:, begin : begin + window]
        given = {"feats": chunk, "feat_lens": np.array([chunk.shape[1]]), **state.feed(about)}
        found = run("encoder", given)
        parts.append(found["ctc_log_probs"])
        state = state.next(about, found, int(found["out_lens"][0]))
    assert state.offset == SUBSAMPLING.length(150)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole["ctc_log_probs"], atol=2e-5)
    for name, array in state.arrays.items():
        np.testing.assert_allclose(array, whole[f"next_{name}"], atol=2e-5)


@pytest.mark.parametrize("name", ["lstm forward", "gru forward"])
def test_the_runtime_streams_it(name: str, optimized: Callable[[str], Path]) -> None:
    """Nothing of a state grows, and no chunk is seen: a stream says what the recording says."""
    graphs = {"encoder.onnx": (optimized(name) / "encoder.onnx").read_bytes()}
    recognizer = Recognizer(description(VARIANTS[name]), graphs, threads=1)
    noise = np.random.default_rng(3).normal(0, 3000, 33_333).astype(np.float32)
    for method in ("ctc_greedy_search", "ctc_prefix_beam_search"):
        expected = recognizer.transcribe(noise, method)
        assert expected.tokens
        stream = StreamingRecognizer(recognizer).stream(method)
        for start in range(0, len(noise), 1600):
            stream.accept(noise[start : start + 1600])
        assert stream.finish().tokens == expected.tokens
