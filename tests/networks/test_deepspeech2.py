"""What the network promises besides PaddleSpeech's numbers: batches, chunks, states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

paddle = pytest.importorskip("paddle")

from asrpack.networks.deepspeech2 import (  # noqa: E402
    DeepSpeech2,
    EncoderGraph,
    StreamingEncoderGraph,
    build,
)
from asrpack.networks.deepspeech2_graphs import streaming  # noqa: E402
from asrpack.networks.deepspeech2_spec import (  # noqa: E402
    SUBSAMPLING,
    DeepSpeech2Spec,
    aliases,
)
from asrpack.runtime.states import EncoderState  # noqa: E402
from tests.networks.deepspeech2_variants import (  # noqa: E402
    SPEC,
    STREAMING,
    VARIANTS,
    batch,
    weights,
)

# Another batch size means another order of additions in matrix products.
TOLERANCE = 2e-5
LENGTHS = (63, 64, 65, 66, 67, 30, 7, 90)


def model(spec: DeepSpeech2Spec) -> DeepSpeech2:
    return build(spec, weights(spec))


def encode(network: DeepSpeech2, feats: np.ndarray, lengths: Sequence[int]) -> list[np.ndarray]:
    with paddle.no_grad():
        outputs = EncoderGraph(network)(paddle.to_tensor(feats), paddle.to_tensor(list(lengths)))
    return [value.numpy() for value in outputs]


def encode_chunk(
    network: DeepSpeech2, feats: np.ndarray, lengths: Sequence[int], states: Sequence[np.ndarray]
) -> list[np.ndarray]:
    given = map(paddle.to_tensor, (feats, np.array(lengths), *states))
    with paddle.no_grad():
        return [value.numpy() for value in StreamingEncoderGraph(network)(*given)]


def start(spec: DeepSpeech2Spec, rows: int) -> list[np.ndarray]:
    about = streaming(spec)
    assert about is not None
    return list(EncoderState.start(about, rows).arrays.values())


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_a_batch_gives_what_each_utterance_gives_alone(spec: DeepSpeech2Spec) -> None:
    network = model(spec)
    feats = batch(spec, LENGTHS)
    together, counts = encode(network, feats, LENGTHS)
    for row, length in enumerate(LENGTHS):
        alone, (count,) = encode(network, feats[row : row + 1, :length], [length])
        assert count == counts[row] == alone.shape[1] == SUBSAMPLING.length(length)
        np.testing.assert_allclose(together[row, :count], alone[0], atol=TOLERANCE)


def test_outputs_are_log_probabilities() -> None:
    log_probs, _ = encode(model(SPEC), batch(SPEC, LENGTHS), LENGTHS)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("spec", STREAMING.values(), ids=STREAMING)
@pytest.mark.parametrize("chunk_size", [1, 3, 8])
def test_chunks_give_what_the_whole_gives(spec: DeepSpeech2Spec, chunk_size: int) -> None:
    network = model(spec)
    feats = batch(spec, (90,))
    whole, _ = encode(network, feats, [90])
    stride = chunk_size * SUBSAMPLING.factor
    window = stride - SUBSAMPLING.factor + SUBSAMPLING.right_context + 1
    states, parts = start(spec, 1), []
    for begin in range(0, 90 - SUBSAMPLING.right_context, stride):
        chunk = feats[:, begin : begin + window]
        log_probs, _, *states = encode_chunk(network, chunk, [chunk.shape[1]], states)
        parts.append(log_probs)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=TOLERANCE)


@pytest.mark.parametrize("spec", STREAMING.values(), ids=STREAMING)
def test_a_batch_of_streams_goes_on_as_each_alone(spec: DeepSpeech2Spec) -> None:
    """Rows of other lengths, one of them too short for a frame: its states stay."""
    network = model(spec)
    lengths = (35, 20, 7, 6)
    feats = batch(spec, lengths)
    generator = np.random.default_rng(3)
    states = [generator.normal(size=array.shape) for array in start(spec, len(lengths))]
    states = [array.astype(np.float32) for array in states]
    together, counts, *ends = encode_chunk(network, feats, lengths, states)
    assert counts.tolist() == [8, 4, 1, 0]
    for row, length in enumerate(lengths[:3]):
        one = slice(row, row + 1)
        given = [array[:, one] for array in states]
        alone, _, *alone_ends = encode_chunk(network, feats[one, :length], [length], given)
        np.testing.assert_allclose(together[one, : counts[row]], alone, atol=TOLERANCE)
        for end, alone_end in zip(ends, alone_ends, strict=True):
            np.testing.assert_allclose(end[:, one], alone_end, atol=TOLERANCE)
    for end, before in zip(ends, states, strict=True):
        np.testing.assert_array_equal(end[:, 3], before[:, 3])


def test_bidirectional_models_do_not_stream() -> None:
    assert streaming(VARIANTS["lstm both ways"]) is None


@pytest.mark.parametrize("change", ["missing", "recurrent missing", "extra", "shape"])
def test_parameters_that_do_not_fit_are_refused(change: str) -> None:
    parameters = weights(SPEC)
    if change == "missing":
        del parameters["decoder.ctc_lo.bias"]
    elif change == "recurrent missing":
        del parameters["encoder.rnn.1.weight_hh_l0"]
    elif change == "extra":
        parameters["x"] = np.zeros(3, np.float32)
    else:
        parameters["decoder.ctc_lo.bias"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"ctc_lo\.bias|weight_hh|'x'"):
        build(SPEC, parameters)


@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_is_loaded(spec: DeepSpeech2Spec) -> None:
    state = model(spec).state_dict()
    parameters = weights(spec)
    for name, value in parameters.items():
        np.testing.assert_array_equal(state[name].numpy(), value, err_msg=name)
    for alias, name in aliases(spec).items():
        np.testing.assert_array_equal(state[alias].numpy(), parameters[name], err_msg=alias)
