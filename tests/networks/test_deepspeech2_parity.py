"""The network against PaddleSpeech's own ``DeepSpeech2Model``, with random weights."""

from __future__ import annotations

import contextlib
import os
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrpack.frontends.model_directory import find_checkpoint
from asrpack.frontends.paddlespeech_deepspeech2 import read
from asrpack.networks.deepspeech2_graphs import CHUNK_SIZE, streaming
from asrpack.networks.deepspeech2_spec import SUBSAMPLING, DeepSpeech2Spec, aliases
from asrpack.runtime.states import EncoderState
from benchmarks.make_deepspeech2 import configuration, write_model
from tests.networks.deepspeech2_graph import optimize
from tests.networks.deepspeech2_variants import STREAMING, VARIANTS, batch, weights

pytestmark = pytest.mark.oracle

TOLERANCE = 1e-4
LENGTHS = (120, 119, 118, 117, 116, 40, 7)


@pytest.fixture(scope="module")
def deepspeech2(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """PaddleSpeech's class."""
    # Its import runs pip, which must fail at once, and opens a log file where it is.
    os.environ["PIP_NO_INDEX"] = "1"
    pytest.importorskip("paddlespeech")
    with contextlib.chdir(tmp_path_factory.mktemp("paddlespeech")):
        from paddlespeech.s2t.models.ds2 import DeepSpeech2Model

    return DeepSpeech2Model


def oracle(deepspeech2: Any, spec: DeepSpeech2Spec, parameters: dict[str, np.ndarray]) -> Any:
    from yacs.config import CfgNode

    sizes = list(spec.fc_layers_size_list)
    config = {
        "input_dim": spec.input_dim,
        "output_dim": spec.vocab_size,
        "num_conv_layers": 2,
        "num_rnn_layers": spec.num_rnn_layers,
        "rnn_layer_size": spec.rnn_layer_size,
        "rnn_direction": spec.rnn_direction,
        "num_fc_layers": len(sizes),
        # What PaddleSpeech's recipes have where there are no such layers: YAML reads it as text.
        "fc_layers_size_list": sizes or "-1,",
        "use_gru": spec.use_gru,
        "blank_id": 0,
    }
    network = deepspeech2.from_config(CfgNode(config))
    again = {alias: parameters[name] for alias, name in aliases(spec).items()}
    missing, unexpected = network.set_state_dict({**parameters, **again})
    assert not missing
    assert not unexpected
    network.eval()
    return network


def log_probs(network: Any, encoded: Any) -> np.ndarray:
    """PaddleSpeech gives probabilities; their logarithm loses nothing at these sizes."""
    return np.log(network.decoder.softmax(encoded).numpy())


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_whole_recordings(deepspeech2: Any, spec: DeepSpeech2Spec, record_property: Any) -> None:
    """A padded batch of ours against theirs, and against theirs one utterance at a time."""
    import paddle

    from asrpack.networks.deepspeech2 import EncoderGraph, build

    parameters = weights(spec)
    theirs = oracle(deepspeech2, spec, parameters)
    feats = batch(spec, LENGTHS)
    tensors = paddle.to_tensor(feats), paddle.to_tensor(list(LENGTHS))
    worst = {"batch": 0.0, "alone": 0.0}
    with paddle.no_grad():
        ours, counts = (value.numpy() for value in EncoderGraph(build(spec, parameters))(*tensors))
        encoded, lens, *_ = theirs.encoder(*tensors, None, None)
        assert counts.tolist() == lens.tolist()
        expected = log_probs(theirs, encoded)
        for row, (length, count) in enumerate(zip(LENGTHS, counts, strict=True)):
            gap = np.abs(ours[row, :count] - expected[row, :count]).max()
            worst["batch"] = max(worst["batch"], float(gap))
            one = paddle.to_tensor(feats[row : row + 1, :length]), paddle.to_tensor([length])
            alone = log_probs(theirs, theirs.encoder(*one, None, None)[0])[0]
            assert len(alone) == count
            worst["alone"] = max(worst["alone"], float(np.abs(ours[row, :count] - alone).max()))
    record_property("differences", worst)
    assert max(worst.values()) <= TOLERANCE, worst


@pytest.mark.parametrize("spec", STREAMING.values(), ids=STREAMING)
@pytest.mark.parametrize("chunk_size", [1, CHUNK_SIZE])
@pytest.mark.parametrize("frames", [99, 100, 104, 131])
def test_chunk_by_chunk(
    deepspeech2: Any, spec: DeepSpeech2Spec, chunk_size: int, frames: int
) -> None:
    """Frames, lengths and states of ``forward_chunk_by_chunk``, its filled last window included."""
    import paddle

    from asrpack.networks.deepspeech2 import StreamingEncoderGraph, build

    about = streaming(spec)
    assert about is not None
    parameters = weights(spec)
    theirs, ours = oracle(deepspeech2, spec, parameters), build(spec, parameters)
    feats = batch(spec, (frames,))
    stride = chunk_size * SUBSAMPLING.factor
    window = stride - SUBSAMPLING.factor + SUBSAMPLING.right_context + 1
    states = [paddle.to_tensor(value) for value in EncoderState.start(about).arrays.values()]
    total = 0
    with paddle.no_grad():
        chunks, lens, *ends = theirs.encoder.forward_chunk_by_chunk(
            paddle.to_tensor(feats), paddle.to_tensor([frames]), chunk_size
        )
        for index, (chunk, count) in enumerate(zip(chunks, lens, strict=True)):
            part = feats[:, index * stride : index * stride + window]
            # Theirs fills the last window up with zeros; what comes of them is not counted.
            given = np.zeros((1, window, spec.input_dim), np.float32)
            given[:, : part.shape[1]] = part
            found, found_lens, *states = StreamingEncoderGraph(ours)(
                paddle.to_tensor(given), paddle.to_tensor([part.shape[1]]), *states
            )
            assert found_lens.tolist() == count.tolist()
            valid = slice(0, int(count[0]))
            gap = np.abs(found.numpy() - log_probs(theirs, chunk))[0, valid]
            assert gap.max(initial=0.0) <= TOLERANCE
            total += int(count[0])
    assert total == SUBSAMPLING.length(frames)
    for end, expected in zip(states, ends, strict=False):  # GRU layers have no c
        np.testing.assert_allclose(end.numpy(), expected.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("direction", ["forward", "bidirect"])
def test_texts_of_recordings(
    deepspeech2: Any, direction: str, quickstart: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """From audio to text, with 161 bins, by greedy search.

    PaddleSpeech's own (``ctc_greedy_decoding`` of its ctc_decoders, C++) cannot be installed on
    this Python: repeats are joined, blanks dropped, and every other unit printed as it is.
    """
    from asrpack.measure.oracle import open_paddlespeech
    from asrpack.runtime.audio import read_audio
    from asrpack.runtime.recognizer import Recognizer

    monkeypatch.chdir(tmp_path)  # PaddleSpeech leaves logs where it runs
    model = tmp_path / "model"
    write_model(
        model, configuration(layers=2, size=24, vocabulary=20, direction=direction), sharpness=8.0
    )
    about, parameters = read(model, streaming=direction == "forward")
    folder = optimize(about, parameters, tmp_path)
    ours = Recognizer(about, {"encoder.onnx": (folder / "encoder.onnx").read_bytes()}, threads=1)
    theirs = open_paddlespeech(model, find_checkpoint(model, None))
    texts = []
    for path in sorted((quickstart / "data").rglob("*.flac"))[:6]:
        feats = theirs.features(theirs.samples(path))
        best = theirs.outputs(feats).ctc_log_probs.argmax(axis=-1)
        texts.append("".join(about.tokens[unit] for unit, _ in groupby(best) if unit != 0))
        found = ours.transcribe(read_audio(path, about.sample_rate), "ctc_greedy_search")
        assert found.text == texts[-1] == theirs.decode(feats, "ctc_greedy_search")
    assert all(texts)
