"""The encoder chunk by chunk: equal to PaddleSpeech's, to itself in batches, to the whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from asrpack.bundle.model import Streaming  # noqa: E402
from asrpack.networks.inference_files import run_layer  # noqa: E402
from asrpack.networks.u2 import (  # noqa: E402
    EncoderGraph,
    StreamingEncoderGraph,
    build,
)
from asrpack.networks.u2_graphs import graph_specs, streaming_states  # noqa: E402
from asrpack.networks.u2_spec import U2Spec  # noqa: E402
from asrpack.runtime.states import EncoderState  # noqa: E402
from tests.networks.test_paddlespeech_parity import (  # noqa: E402, F401
    oracle,
    paddlespeech_config,
    u2_model,
)
from tests.networks.variants import ENCODER, SPEC, TRANSFORMER, VARIANTS, weights  # noqa: E402

TOLERANCE = 1e-4
CAUSAL = replace(ENCODER, causal=True)
_ENCODERS: dict[str, dict[str, object]] = {
    "batch norm": {},
    "layer norm": {"cnn_module_norm": "layer_norm"},
    "kernel 1": {"cnn_module_kernel": 1},
    "even kernel": {"cnn_module_kernel": 8},
    "kernel 31": {"cnn_module_kernel": 31},
    "no convolution": {"cnn_module_kernel": 0},
    "absolute positions": {"pos_enc_layer_type": "abs_pos"},
    "rotary positions": {"pos_enc_layer_type": "rope_pos"},
    "no subsampling": {"input_layer": "linear"},
    "subsampling 6": {"input_layer": "conv2d6"},
    "subsampling 8": {"input_layer": "conv2d8"},
    "normalize after": {"normalize_before": False},
    "concat after": {"concat_after": True},
    "global CMVN": {"global_cmvn": True},
}
STREAMING = {
    name: replace(SPEC, encoder=replace(CAUSAL, **changes))  # type: ignore[arg-type]
    for name, changes in _ENCODERS.items()
}
STREAMING |= {
    f"transformer, {positions}": replace(
        SPEC, encoder=replace(TRANSFORMER, pos_enc_layer_type=positions)
    )
    for positions in ("abs_pos", "rel_pos", "no_pos")
}
# PaddleSpeech's own loop fails on their empty caches; its masked encoder does not.
WITHOUT_CONVOLUTION_CACHE = {"kernel 1", "no convolution"}
# Chunk size, left chunks; the last chunk of 138 frames is whole, of one frame, or between.
CHUNKS = [(1, 2), (4, 0), (16, -1)]
MORE_CHUNKS = [(1, -1), (4, -1), (4, 2), (16, 0), (16, 1), (16, 2), (40, -1)]


def features(spec: U2Spec, frames: int, rows: int = 1) -> np.ndarray:
    generator = np.random.default_rng(frames)
    return generator.normal(size=(rows, frames, spec.encoder.input_dim)).astype(np.float32)


class Chunked:
    """Runs the streaming graph's layer over chunks as the runtime cuts them."""

    def __init__(self, spec: U2Spec, parameters: dict[str, np.ndarray]) -> None:
        self.spec = spec
        self.graph = graph_specs(spec, streaming=True)[0]
        self.layer = StreamingEncoderGraph(build(spec, parameters))

    def __call__(self, feats: np.ndarray, chunk_size: int, left_chunks: int) -> np.ndarray:
        """Hidden states (1, T', size) of one utterance (1, T, D)."""
        subsampling = self.spec.encoder.subsampling
        streaming = Streaming(chunk_size, left_chunks, streaming_states(self.spec))
        stride = chunk_size * subsampling.factor
        window = stride - subsampling.factor + subsampling.right_context + 1
        state, outputs = EncoderState.start(streaming), []
        for start in range(0, feats.shape[1] - subsampling.right_context, stride):
            chunk = feats[:, start : start + window]
            found = self.run({"feats": chunk, **state.feed(streaming)})
            state = state.next(streaming, found, int(found["out_lens"][0]))
            outputs.append(found["encoder_out"])
        return np.concatenate(outputs, axis=1)

    def run(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        count, frames, _ = feed["feats"].shape
        return run_layer(self.layer, self.graph, {"feat_lens": np.full(count, frames), **feed})


@pytest.mark.oracle
@pytest.mark.parametrize("name", STREAMING)
def test_chunk_by_chunk_as_paddlespeech(
    u2_model: Any,  # noqa: F811
    name: str,
    tmp_path: Path,
) -> None:
    spec = STREAMING[name]
    parameters = weights(spec)
    config = paddlespeech_config(spec, tmp_path)
    config["encoder_conf"]["use_dynamic_chunk"] = True
    theirs = oracle(u2_model, config, dict(parameters)).encoder
    ours = Chunked(spec, parameters)
    for frames in (138, 15):
        feats = features(spec, frames)
        tensor, lens = paddle.to_tensor(feats), paddle.to_tensor([frames])
        for chunks in CHUNKS if name != "layer norm" else CHUNKS + MORE_CHUNKS:
            with paddle.no_grad():
                if name in WITHOUT_CONVOLUTION_CACHE:
                    expected, _ = theirs(tensor, lens, *chunks)
                else:
                    expected, _ = theirs.forward_chunk_by_chunk(tensor, *chunks)
            found = ours(feats, *chunks)
            np.testing.assert_allclose(
                found, expected.numpy(), atol=TOLERANCE, err_msg=f"{frames} frames, {chunks}"
            )


@pytest.mark.parametrize("spec", STREAMING.values(), ids=STREAMING)
def test_one_chunk_from_empty_states_is_the_whole_recording(spec: U2Spec) -> None:
    parameters = weights(spec)
    ours, feats = Chunked(spec, parameters), features(spec, 150, rows=3)
    lens = np.array([150, 90, 31])
    streaming = Streaming(16, -1, streaming_states(spec))
    start = EncoderState.start(streaming, batch=3).feed(streaming)
    found = ours.run({"feats": feats, "feat_lens": lens, **start})
    whole = run_layer(
        EncoderGraph(build(spec, parameters)),
        graph_specs(spec)[0],
        {"feats": feats, "feat_lens": lens},
    )
    for row, count in enumerate(whole["out_lens"]):
        for name in ("encoder_out", "ctc_log_probs"):
            np.testing.assert_allclose(
                found[name][row, :count], whole[name][row, :count], atol=2e-5, err_msg=name
            )
    np.testing.assert_array_equal(found["out_lens"], whole["out_lens"])


@pytest.mark.parametrize(
    "name", ["batch norm", "no convolution", "absolute positions", "transformer, abs_pos"]
)
def test_a_batch_of_streams_that_are_unequally_far(name: str) -> None:
    """Histories are right-aligned, chunks padded: each row is what its stream gives alone."""
    spec = STREAMING[name]
    ours = Chunked(spec, weights(spec))
    states = streaming_states(spec)
    streaming = Streaming(8, -1, states)
    alone, rows = [], []
    for index, (before, now) in enumerate([(67, 35), (0, 30), (35, 19)]):
        feats, state = features(spec, before + now)[:, :], EncoderState.start(streaming)
        if before:
            found = ours.run({"feats": feats[:, :before], **state.feed(streaming)})
            state = state.next(streaming, found, int(found["out_lens"][0]))
        feed = {"feats": feats[:, before:], "feat_lens": np.array([now]), **state.feed(streaming)}
        alone.append(ours.run(feed))
        rows.append(feed)
        assert index or before
    longest = max(row["att_cache"].shape[3] for row in rows)
    frames = max(row["feats"].shape[1] for row in rows)
    noise = np.random.default_rng(9)
    batch: dict[str, np.ndarray] = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        if key == "att_cache":
            values = [_filled(v, 3, longest, noise, left=True) for v in values]
        if key == "feats":
            values = [_filled(v, 1, frames, noise, left=False) for v in values]
        batch[key] = np.concatenate(values, axis=1 if key.endswith("cache") else 0)
    together = ours.run(batch)
    for row, expected in enumerate(alone):
        count = int(expected["out_lens"][0])
        assert together["out_lens"][row] == count
        np.testing.assert_allclose(
            together["encoder_out"][row, :count], expected["encoder_out"][0], atol=2e-5
        )
        for state in states:
            given = together[f"next_{state.name}"][:, row]
            given = given[:, :, :count] if state.grows else given
            np.testing.assert_allclose(given, expected[f"next_{state.name}"][:, 0], atol=2e-5)


def _filled(
    array: np.ndarray, axis: int, size: int, noise: np.random.Generator, *, left: bool
) -> np.ndarray:
    """Padded with noise to ``size``: what is not valid must not matter."""
    shape = [*array.shape]
    shape[axis] = size - shape[axis]
    padding = noise.normal(size=shape).astype(np.float32)
    return np.concatenate([padding, array] if left else [array, padding], axis=axis)


def test_the_plain_graph_has_no_states() -> None:
    for spec in VARIANTS.values():
        encoder = graph_specs(spec)[0]
        assert [item.name for item in encoder.inputs] == ["feats", "feat_lens"]
