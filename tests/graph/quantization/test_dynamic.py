from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from asrpack.graph.quantization.dynamic import to_int8
from asrpack.graph.quantization.half import to_fp16, whole_number_nodes
from asrpack.graph.quantization.layers import matching, output_layers
from asrpack.runtime.engines.onnxruntime import open_session
from tests.graph.small import graph, initializers, operators, run

node = helper.make_node


@pytest.fixture
def decoder(rng):
    """Embedding, two hidden layers that share their input, and an output layer with softmax."""
    return graph(
        [
            node("Cast", ["ids"], ["index"], name="index", to=7),
            node("Gather", ["embed", "index"], ["h"]),
            node("MatMul", ["h", "q"], ["a"], name="layer.q"),
            node("MatMul", ["h", "k"], ["b"], name="layer.k"),
            node("Add", ["a", "b"], ["c"]),
            node("MatMul", ["c", "out"], ["d"], name="output"),
            node("Add", ["d", "bias"], ["e"]),
            node("LogSoftmax", ["e"], ["y"]),
        ],
        {"ids": ["B", "L"]},
        {"y": ["B", "L", 12]},
        {
            "embed": rng.standard_normal((300, 64), np.float32),
            "q": rng.standard_normal((64, 64), np.float32),
            "k": rng.standard_normal((64, 64), np.float32),
            "out": 0.1 * rng.standard_normal((64, 12), np.float32),
            "bias": rng.standard_normal(12, np.float32),
        },
    )


FEED = {"ids": np.arange(24, dtype=np.float32).reshape(2, 12)}


def copy(model):
    return type(model).FromString(model.SerializeToString())


def test_the_layer_before_softmax_is_an_output_layer(decoder):
    assert output_layers(decoder) == {"output"}


def test_a_layer_that_makes_states_is_not_an_output_layer(rng):
    model = graph(
        [
            node("MatMul", ["x", "w"], ["h"], name="last"),
            node("Identity", ["h"], ["states"]),
            node("Relu", ["h"], ["r"]),
            node("Softmax", ["r"], ["y"]),
        ],
        {"x": ["B", 4]},
        {"y": ["B", 6], "states": ["B", 6]},
        {"w": rng.standard_normal((4, 6), np.float32)},
    )
    assert output_layers(model) == set()


def test_patterns_match_nodes_and_weights(decoder):
    nodes = {"layer.q", "layer.k", "output"}
    assert matching(decoder, nodes, "layer.*") == {"layer.q", "layer.k"}
    assert matching(decoder, nodes, "q") == {"layer.q"}
    assert matching(decoder, nodes - {"layer.q"}, "*q") == set()
    assert matching(decoder, nodes, "Q") == set()


def test_weights_of_seven_bits(decoder):
    after = to_int8(copy(decoder), {"output"}, reduced=True)
    codes = initializers(after)["q_quantized"]
    assert codes.min() >= -64 and codes.max() <= 64 and np.abs(codes).max() == 64
    assert np.abs(run(after, FEED, int8=True)[0] - run(decoder, FEED)[0]).mean() < 0.2


def test_int8_quantizes_per_channel_shares_activations_and_leaves_out_what_it_is_told(decoder):
    before = run(decoder, FEED)[0]
    after = to_int8(copy(decoder), {"output"})
    assert operators(after)["MatMulInteger"] == 2
    assert operators(after)["DynamicQuantizeLinear"] == 1
    assert operators(after)["MatMul"] == 1
    stored = initializers(after)
    assert stored["q_quantized"].dtype == np.int8
    assert stored["q_scale"].shape == (64,)
    assert not stored["q_zero_point"].any()
    assert stored["out"].dtype == np.float32
    assert np.abs(run(after, FEED, int8=True)[0] - before).mean() < 0.1


def recurrent(rng, direction):
    """A projection and an LSTM behind it, weights as a trained layer's."""
    ways, size = (2 if direction == "bidirectional" else 1), 64
    return graph(
        [
            node("MatMul", ["x", "into"], ["h"], name="projection"),
            node(
                "LSTM",
                ["h", "w", "r", "b"],
                ["y"],
                name="lstm",
                direction=direction,
                hidden_size=size,
            ),
        ],
        {"x": ["T", "B", size]},
        {"y": ["T", ways, "B", size]},
        {
            "into": 0.1 * rng.standard_normal((size, size), np.float32),
            "w": 0.1 * rng.standard_normal((ways, 4 * size, size), np.float32),
            "r": 0.1 * rng.standard_normal((ways, 4 * size, size), np.float32),
            "b": 0.1 * rng.standard_normal((ways, 8 * size), np.float32),
        },
    )


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_int8_quantizes_lstms(rng, direction):
    model = recurrent(rng, direction)
    feed = {"x": rng.standard_normal((20, 2, 64), np.float32)}
    before = run(model, feed)[0]
    after = to_int8(copy(model), set())
    assert operators(after)["DynamicQuantizeLSTM"] == 1 and "LSTM" not in operators(after)
    assert after.ByteSize() < 0.3 * model.ByteSize()
    found = run(after, feed, int8=True)[0]
    assert found.shape == before.shape
    assert np.abs(found - before).mean() < 0.05 * np.abs(before).mean()


def test_a_product_can_be_left_out_and_the_lstm_behind_it_not(rng):
    model = recurrent(rng, "forward")
    after = to_int8(copy(model), {"projection"})
    assert operators(after)["MatMul"] == operators(after)["DynamicQuantizeLSTM"] == 1
    assert initializers(after)["into"].dtype == np.float32


def test_tables_are_stored_in_half_and_looked_up_as_before(decoder):
    after = to_int8(copy(decoder), {"layer.q", "layer.k", "output"})
    assert "MatMulInteger" not in operators(after)
    assert initializers(after)["embed"].dtype == np.float16
    assert np.abs(run(after, FEED)[0] - run(decoder, FEED)[0]).max() < 0.01


def test_a_table_that_is_also_a_weight_stays_as_it_is(rng):
    tied = graph(
        [
            node("Cast", ["ids"], ["index"], to=7),
            node("Gather", ["embed", "index"], ["h"]),
            node("MatMul", ["h", "w"], ["a"]),
            node("Add", ["a", "embed"], ["y"]),
        ],
        {"ids": [100]},
        {"y": [100, 64]},
        {
            "embed": rng.standard_normal((100, 64), np.float32),
            "w": rng.standard_normal((64, 64), np.float32),
        },
    )
    assert initializers(to_int8(tied, set()))["embed"].dtype == np.float32


def test_fp16_halves_the_file_and_keeps_fp32_inputs_and_outputs(decoder):
    after = to_fp16(copy(decoder))
    onnx.checker.check_model(after, full_check=True)
    assert after.ByteSize() < 0.55 * decoder.ByteSize()
    outputs = run(after, FEED)[0]
    assert outputs.dtype == np.float32
    assert np.abs(outputs - run(decoder, FEED)[0]).max() < 0.1


def test_float_nodes_that_make_whole_numbers_are_known(rng):
    model = graph(
        [
            node("Mul", ["x", "half"], ["a"], name="a"),
            node("Floor", ["a"], ["b"], name="b"),
            node("Cast", ["b"], ["c"], name="c", to=7),
            node("Cast", ["c"], ["d"], name="d", to=1),
            node("Add", ["x", "d"], ["y"], name="e"),
        ],
        {"x": ["B"]},
        {"y": ["B"]},
        {"half": np.array([0.5], np.float32)},
    )
    assert sorted(whole_number_nodes(model)) == ["a", "b", "c"]


def test_the_runtime_multiplies_int8_without_saturation(rng):
    """The fast kernel of CPUs without VNNI adds up pairs of products in 16 bits."""
    weight = rng.choice([-1, 1], (512, 64)).astype(np.float32)
    weight[:, ::2] = np.abs(weight[:, ::2])
    model = graph(
        [node("MatMul", ["x", "w"], ["y"], name="layer")],
        {"x": ["B", 512]},
        {"y": ["B", 64]},
        {"w": weight},
    )
    feed = {"x": rng.uniform(0.8, 1, (32, 512)).astype(np.float32)}
    session = open_session(to_int8(copy(model), set()).SerializeToString(), "int8.onnx")
    exact, found = run(model, feed)[0], session.run(None, feed)[0]
    assert np.abs(found - exact).max() < 0.01 * np.abs(exact).max()
