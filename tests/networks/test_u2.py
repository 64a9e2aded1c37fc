"""What the networks promise besides PaddleSpeech's numbers: batches, masks, lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from asrpack.networks.u2 import U2, EncoderGraph, build, decoder_graphs  # noqa: E402
from asrpack.networks.u2_spec import U2Spec, unused_parameters  # noqa: E402
from asrpack.runtime.decoding.hypotheses import prefix_tree  # noqa: E402
from tests.networks.variants import SPEC, VARIANTS, weights  # noqa: E402

# Another batch size means another order of additions in matrix products.
TOLERANCE = 2e-5
LENGTHS = (63, 64, 65, 66, 67, 30, 15, 90)


def model(spec: U2Spec) -> U2:
    return build(spec, weights(spec))


def encode(network: U2, feats: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    with paddle.no_grad():
        outputs = EncoderGraph(network)(paddle.to_tensor(feats), paddle.to_tensor(list(lengths)))
    return [value.numpy() for value in outputs]


def decode(network: U2, *inputs: np.ndarray) -> list[np.ndarray]:
    """Of encoder_out, hyps_in and ancestors."""
    with paddle.no_grad():
        given = list(map(paddle.to_tensor, inputs))
        graphs = decoder_graphs(network)
        blocks = len(graphs["decoder"].decoder.decoders)
        empty = paddle.zeros([blocks, len(given[1]), 0, given[0].shape[2]])
        left, _ = graphs["decoder"](*given, empty)
        right = [graphs["right_decoder"](*given)] if "right_decoder" in graphs else []
        return [scores.numpy() for scores in (left, *right)]


def batch(bins: int) -> np.ndarray:
    """Noise all over: what lies past a length must not matter."""
    generator = np.random.default_rng(1)
    return generator.normal(size=(len(LENGTHS), max(LENGTHS), bins)).astype(np.float32)


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_a_batch_gives_what_each_utterance_gives_alone(spec: U2Spec) -> None:
    network = model(spec)
    feats = batch(spec.encoder.input_dim)
    together, log_probs, lengths = encode(network, feats, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone, alone_log_probs, (count,) = encode(network, feats[row : row + 1, :length], [length])
        assert count == lengths[row] == alone.shape[1]
        assert count == spec.encoder.subsampling.length(length)
        np.testing.assert_allclose(together[row, :count], alone[0], atol=TOLERANCE)
        np.testing.assert_allclose(log_probs[row, :count], alone_log_probs[0], atol=TOLERANCE)


def test_ctc_outputs_are_log_probabilities() -> None:
    _, log_probs, _ = encode(model(SPEC), batch(80), LENGTHS)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=-1), 1.0, atol=1e-5)


MEMORY = np.random.default_rng(3).normal(size=(1, 11, 16)).astype(np.float32)
HYPOTHESES = np.random.default_rng(2).integers(1, 12, size=(3, 9))
DECODERS = ["plain", *(name for name in VARIANTS if name.startswith("decoder: "))]


@pytest.mark.parametrize("name", DECODERS)
def test_hypotheses_give_together_what_each_gives_alone(name: str) -> None:
    """Side by side, and as a tree of those whose beginnings are the same."""
    network = model(VARIANTS[name])
    together = decode(network, MEMORY, HYPOTHESES, np.tri(9, dtype=np.int64))
    assert len(together) == 1 + (VARIANTS[name].decoder.r_num_blocks > 0)
    kept = [(*HYPOTHESES[0, 1:5].tolist(), unit) for unit in (3, 7)]
    tree = prefix_tree([*kept, kept[0][:2], ()], HYPOTHESES[0, 0])
    assert len(tree.units) == 7
    as_tree = decode(network, MEMORY, tree.units[None], tree.ancestors)
    for row in range(3):
        alone = decode(network, MEMORY, HYPOTHESES[row : row + 1], np.tri(9, dtype=np.int64))
        for several, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(several[row], one[0], atol=TOLERANCE)
    for place in tree.places:
        row, lower = tree.units[None, place], np.tri(len(place), dtype=np.int64)
        for several, one in zip(as_tree, decode(network, MEMORY, row, lower), strict=True):
            np.testing.assert_allclose(several[0, place], one[0], atol=TOLERANCE)


def test_a_prefix_is_scored_without_what_follows() -> None:
    network, lower = model(SPEC), np.tri(9, dtype=np.int64)
    (before,) = decode(network, MEMORY, HYPOTHESES, lower)
    others = HYPOTHESES.copy()
    others[:, 5:] = 12
    (after,) = decode(network, MEMORY, others, lower)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert not np.allclose(before[:, 5:], after[:, 5:], atol=1e-3)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_parameters_that_do_not_fit_are_refused(change: str) -> None:
    parameters = weights(SPEC)
    if change == "missing":
        del parameters["ctc.ctc_lo.bias"]
    elif change == "extra":
        parameters["x"] = np.zeros(3, np.float32)
    else:
        parameters["ctc.ctc_lo.bias"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"ctc_lo\.bias|'x'"):
        build(SPEC, parameters)


@pytest.mark.parametrize("name", ["plain", "transformer: plain", "squeezeformer: plain"])
def test_every_parameter_is_loaded(name: str) -> None:
    spec = VARIANTS[name]
    state = model(spec).state_dict()
    for parameter, value in weights(spec).items():
        if parameter not in unused_parameters(spec):
            np.testing.assert_array_equal(state[parameter].numpy(), value, err_msg=parameter)


@pytest.mark.parametrize("name", ["static chunks", "squeezeformer: static chunks"])
def test_attention_does_not_see_past_a_static_chunk(name: str) -> None:
    # A causal convolution, or none: nothing else looks ahead but the input layer.
    spec = VARIANTS[name]
    assert spec.encoder.static_chunk_size == 4
    network, feats = model(spec), batch(80)[:1]
    before, _, _ = encode(network, feats, [90])
    # The first chunk is frames 0 to 15 and what their windows reach into.
    feats[:, 40:] = 0.0
    after, _, _ = encode(network, feats, [90])
    seen = 4 if spec.encoder_type == "conformer" else 2  # its time reduction looks ahead, too
    np.testing.assert_array_equal(before[:, :seen], after[:, :seen])
    assert not np.allclose(before, after, atol=1e-3)
