"""A model small enough to make in a test: real ONNX graphs of the runtime's interface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from asrpack.bundle.model import DecodeDefaults, FbankSpec, ModelDescription, State, Streaming

TOKENS = ("<blank>", "<unk>", "a", "b", "<space>", "<eos>")
BINS = 20
SIZE = len(TOKENS)


def describe(**changes: object) -> ModelDescription:
    """Takes a frame in four; at most 10 s of audio."""
    values: dict[str, object] = {
        "family": "tiny",
        "front_end": FbankSpec(num_mel_bins=BINS),
        "cmvn": None,
        "tokens": TOKENS,
        "subsampling": 4,
        "right_context": 6,
        "max_frames": 250,
        "graphs": ("encoder", "decoder"),
        "decode": DecodeDefaults(beam_size=4),
    }
    return ModelDescription(**(values | changes))  # type: ignore[arg-type]


def describe_streaming(**changes: object) -> ModelDescription:
    """Of :func:`streaming_encoder`: chunks of 4, all of the history."""
    states = (State("seen", (1, 1, 1, 0, BINS), grows=True), State("last", (1, 1, BINS)))
    return describe(**{"streaming": Streaming(4, -1, states), **changes})


def streaming_graphs() -> dict[str, bytes]:
    """Of :func:`describe_streaming`'s model."""
    return {"encoder.onnx": streaming_encoder(), "decoder.onnx": decoder()}


METHODS = describe().methods


def graphs() -> dict[str, bytes]:
    """Of :func:`describe`'s model."""
    return {"encoder.onnx": encoder(), "decoder.onnx": decoder()}


def encoder(scale: float = 1.0) -> bytes:
    """Every fourth frame through one fixed matrix; ``scale`` multiplies its weights."""
    weight = np.random.default_rng(1).standard_normal((BINS, SIZE)).astype(np.float32) * scale
    nodes = [
        helper.make_node("Slice", ["feats", "from", "to", "axis", "step"], ["encoder_out"]),
        helper.make_node("MatMul", ["encoder_out", "weight"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["ctc_log_probs"], axis=-1),
        helper.make_node("Div", ["feat_lens", "step"], ["out_lens"]),
    ]
    constants = {
        "weight": weight,
        "from": np.array([3], np.int64),
        "to": np.array([1 << 40], np.int64),
        "axis": np.array([1], np.int64),
        "step": np.array([4], np.int64),
    }
    inputs = {"feats": ("B", "T", BINS), "feat_lens": ("B",)}
    outputs = {
        "encoder_out": ("B", "U", BINS),
        "ctc_log_probs": ("B", "U", SIZE),
        "out_lens": ("B",),
    }
    return _graph(nodes, constants, inputs, outputs)


def streaming_encoder() -> bytes:
    """Every fourth frame, moved by the mean of its chunk and history and by the chunk before."""
    weight = np.random.default_rng(1).standard_normal((BINS, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Slice", ["feats", "from", "to", "time", "step"], ["frames"]),
        helper.make_node("Unsqueeze", ["frames", "outer"], ["next_seen"]),
        helper.make_node("Concat", ["seen", "next_seen"], ["history"], axis=3),
        helper.make_node("ReduceMean", ["history"], ["mean"], axes=[0, 2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["frames"], ["chunk"], axes=[1], keepdims=0),
        helper.make_node("Unsqueeze", ["chunk", "zero"], ["next_last"]),
        helper.make_node("Sub", ["frames", "mean"], ["moved"]),
        helper.make_node("Mul", ["last", "tenth"], ["before"]),
        helper.make_node("Add", ["moved", "before"], ["encoder_out"]),
        helper.make_node("MatMul", ["encoder_out", "weight"], ["scores"]),
        helper.make_node("Add", ["scores", "no_eos"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["ctc_log_probs"], axis=-1),
        helper.make_node("Sub", ["feat_lens", "context"], ["beyond"]),
        helper.make_node("Div", ["beyond", "step"], ["more"]),
        helper.make_node("Add", ["more", "time"], ["out_lens"]),
    ]
    constants = {
        "weight": weight,
        "from": np.array([3], np.int64),
        "to": np.array([-3], np.int64),
        "time": np.array([1], np.int64),
        "step": np.array([4], np.int64),
        "zero": np.array([0], np.int64),
        "outer": np.array([0, 2], np.int64),
        "context": np.array([7], np.int64),
        "no_eos": np.array([0, 0, 0, 0, 0, -100], np.float32),
        "tenth": np.array([0.1], np.float32),
    }
    inputs = {
        "feats": ("B", "T", BINS),
        "feat_lens": ("B",),
        "offset": ("B",),
        "cache_lens": ("B",),
        "seen": (1, "B", 1, "C", BINS),
        "last": (1, "B", BINS),
    }
    outputs = {
        "encoder_out": ("B", "U", BINS),
        "ctc_log_probs": ("B", "U", SIZE),
        "out_lens": ("B",),
        "next_seen": (1, "B", 1, "U", BINS),
        "next_last": (1, "B", BINS),
    }
    return _graph(nodes, constants, inputs, outputs)


def decoder(seed: int = 2) -> bytes:
    """Scores the next unit by the one before it: a bigram table. Of a foreign graph's interface."""
    table = np.random.default_rng(seed).standard_normal((SIZE, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "hyps_in"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["decoder_log_probs"], axis=-1),
    ]
    inputs = {
        "encoder_out": ("N", "U", BINS),
        "encoder_lens": ("N",),
        "hyps_in": ("N", "L"),
        "hyps_lens": ("N",),
    }
    return _graph(nodes, {"table": table}, inputs, {"decoder_log_probs": ("N", "L", SIZE)})


def cached_decoder() -> bytes:
    """Scores the next unit by all before it: their sum. Keeps what it looked up of each.

    Of the interface of asrpack's own.
    """
    table = np.random.default_rng(3).standard_normal((SIZE, SIZE)).astype(np.float32)
    nodes = [
        helper.make_node("Shape", ["cache"], ["known"], start=2, end=3),
        helper.make_node("Slice", ["hyps_in", "known", "end", "one"], ["units"]),
        helper.make_node("Gather", ["table", "units"], ["new"]),
        helper.make_node("Unsqueeze", ["new", "zero"], ["next_cache"]),
        helper.make_node("Concat", ["cache", "next_cache"], ["history"], axis=2),
        helper.make_node("Squeeze", ["history", "zero"], ["looked_up"]),
        helper.make_node("Slice", ["ancestors", "known", "end", "zero"], ["prefixes"]),
        helper.make_node("Cast", ["prefixes"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["weights", "looked_up"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["decoder_log_probs"], axis=-1),
    ]
    constants = {
        "table": table,
        "end": np.array([1 << 40], np.int64),
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
    }
    inputs = {
        "encoder_out": (1, "U", BINS),
        "hyps_in": ("N", "L"),
        "ancestors": ("L", "L"),
        "cache": (1, "N", "C", SIZE),
    }
    outputs = {"decoder_log_probs": ("N", "M", SIZE), "next_cache": (1, "N", "M", SIZE)}
    return _graph(nodes, constants, inputs, outputs)


def _graph(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    inputs: dict[str, Sequence[str | int]],
    outputs: dict[str, Sequence[str | int]],
) -> bytes:
    def values(shapes: dict[str, Sequence[str | int]]) -> list[onnx.ValueInfoProto]:
        integers = ("lens", "hyps_in", "ancestors", "offset")
        return [
            helper.make_tensor_value_info(
                name,
                TensorProto.INT64 if name.endswith(integers) else TensorProto.FLOAT,
                list(shape),
            )
            for name, shape in shapes.items()
        ]

    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", values(inputs), values(outputs), initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
