"""A model small enough to make in a test: real ONNX graphs of the runtime's interface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from asrpack.bundle.model import DecodeDefaults, FbankSpec, ModelDescription

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


def graphs() -> dict[str, bytes]:
    """Of :func:`describe`'s model."""
    return {"encoder": encoder(), "decoder": decoder()}


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


def decoder(*, both_ways: bool = False) -> bytes:
    """Scores the next unit by the one before it: a bigram table; read from the end, too."""
    table = np.random.default_rng(2).standard_normal((SIZE, SIZE)).astype(np.float32)
    prefixes = ("", "r_") if both_ways else ("",)
    nodes = []
    for prefix in prefixes:
        logits, log_probs = f"{prefix}logits", f"{prefix}decoder_log_probs"
        nodes += [
            helper.make_node("Gather", ["table", f"{prefix}hyps_in"], [logits]),
            helper.make_node("LogSoftmax", [logits], [log_probs], axis=-1),
        ]
    inputs = {
        "encoder_out": ("N", "U", BINS),
        "encoder_lens": ("N",),
        "hyps_in": ("N", "L"),
        "hyps_lens": ("N",),
    }
    outputs = {f"{prefix}decoder_log_probs": ("N", "L", SIZE) for prefix in prefixes}
    if both_ways:
        inputs["r_hyps_in"] = ("N", "L")
    return _graph(nodes, {"table": table}, inputs, outputs)


def _graph(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    inputs: dict[str, Sequence[str | int]],
    outputs: dict[str, Sequence[str | int]],
) -> bytes:
    def values(shapes: dict[str, Sequence[str | int]]) -> list[onnx.ValueInfoProto]:
        integers = ("lens", "hyps_in")
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
