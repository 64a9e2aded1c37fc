"""A model of two small graphs with the names of asrpack's interface, made without Paddle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from asrpack.bundle.model import FbankSpec, ModelDescription
from asrpack.graph.quantization.operators import activations, operator_kinds
from asrpack.measure.cases import make_cases, onnx_run, save_cases
from asrpack.networks.interface import GraphSpec, floats, integers

WIDTH, UNITS = 64, 70
node = helper.make_node
SPECS = (
    GraphSpec(
        "encoder",
        (floats("feats", "B", "T", WIDTH), integers("feat_lens", "B")),
        (
            floats("encoder_out", "B", "T", WIDTH, length="out_lens"),
            floats("ctc_log_probs", "B", "T", UNITS, length="out_lens"),
            integers("out_lens", "B"),
        ),
    ),
    GraphSpec(
        "decoder",
        (
            floats("encoder_out", "N", "T", WIDTH),
            integers("encoder_lens", "N"),
            integers("hyps_in", "N", "L"),
            integers("hyps_lens", "N"),
        ),
        (floats("decoder_log_probs", "N", "L", UNITS, length="hyps_lens"),),
    ),
)


def write_model(folder: Path, seed: int = 0) -> dict[str, Path]:
    """Inputs of ``optimize``: converted graphs (weights wrapped as paddle2onnx does), cases,
    description."""
    generator = np.random.default_rng(seed)
    graphs = folder / "onnx"
    graphs.mkdir(parents=True)
    onnx.save(_encoder(generator), graphs / "encoder.onnx")
    onnx.save(_decoder(generator), graphs / "decoder.onnx")
    probe = {
        "feats": generator.standard_normal((3, 9, WIDTH)).astype(np.float32),
        "feat_lens": np.array([9, 5, 2]),
        "hyps_in": generator.integers(1, UNITS, (3, 4)),
        "hyps_lens": np.array([4, 3, 1]),
    }
    description = ModelDescription(
        family="paddlespeech_u2",
        front_end=FbankSpec(num_mel_bins=WIDTH),
        cmvn=None,
        tokens=tuple(map(str, range(UNITS))),
        subsampling=1,
        right_context=0,
        max_frames=100,
        graphs=("encoder", "decoder"),
    )
    paths = {
        "onnx": graphs,
        "cases": folder / "cases.npz",
        "description": folder / "model.json",
    }
    save_cases(paths["cases"], make_cases(description, SPECS, probe, onnx_run(graphs)))
    paths["description"].write_text(description.to_json())
    return paths


def _encoder(generator: np.random.Generator) -> onnx.ModelProto:
    nodes = [
        node("MatMul", ["feats", "hidden.w"], ["h0"], name="hidden"),
        node("Relu", ["h0"], ["h1"]),
        node("Transpose", ["h1"], ["h2"], perm=[0, 2, 1]),
        node("Conv", ["h2", "pointwise.w"], ["h3"], name="pointwise"),
        node("Transpose", ["h3"], ["h4"], perm=[0, 2, 1]),
        node("Identity", ["h4"], ["encoder_out"]),
        node("MatMul", ["encoder_out", "ctc.w"], ["logits"], name="ctc"),
        node("LogSoftmax", ["logits"], ["ctc_log_probs"]),
        # As paddle2onnx divides lengths.
        node("Cast", ["feat_lens"], ["l0"], name="l0", to=TensorProto.FLOAT),
        node("Mul", ["l0", "factor"], ["l1"], name="l1"),
        node("Div", ["l1", "factor"], ["l2"], name="l2"),
        node("Floor", ["l2"], ["l3"], name="l3"),
        node("Cast", ["l3"], ["out_lens"], name="l4", to=TensorProto.INT64),
    ]
    weights = {
        "hidden.w": _weights(generator, WIDTH, WIDTH),
        "pointwise.w": _weights(generator, WIDTH, WIDTH)[..., None],
        "ctc.w": _weights(generator, WIDTH, UNITS),
        "factor": np.float32(4),
    }
    inputs = {"feats": ("B", "T", WIDTH), "feat_lens": ("B",)}
    outputs = {
        "encoder_out": ("B", "T", WIDTH),
        "ctc_log_probs": ("B", "T", UNITS),
        "out_lens": ("B",),
    }
    return _model(nodes, inputs, outputs, weights)


def _decoder(generator: np.random.Generator) -> onnx.ModelProto:
    nodes = [
        node("Gather", ["embed", "hyps_in"], ["e"]),
        node("ReduceMean", ["encoder_out"], ["m"], axes=[1]),
        node("Add", ["e", "m"], ["s"]),
        node("Cast", ["encoder_lens"], ["l0"], to=TensorProto.FLOAT),
        node("Cast", ["hyps_lens"], ["l1"], to=TensorProto.FLOAT),
        node("Mul", ["l0", "l1"], ["l2"]),
        node("Unsqueeze", ["l2", "axes"], ["l3"]),
        node("MatMul", ["s", "mix.w"], ["h"], name="mix"),
        node("Add", ["h", "l3"], ["h1"]),
        node("Tanh", ["h1"], ["h2"]),
        node("MatMul", ["h2", "output.w"], ["logits"], name="output"),
        node("LogSoftmax", ["logits"], ["decoder_log_probs"]),
    ]
    constants = {
        "embed": generator.standard_normal((UNITS, WIDTH)).astype(np.float32),
        "mix.w": _weights(generator, WIDTH, WIDTH),
        "output.w": _weights(generator, WIDTH, UNITS),
        "axes": np.array([1, 2]),
    }
    inputs = {
        "encoder_out": ("N", "T", WIDTH),
        "encoder_lens": ("N",),
        "hyps_in": ("N", "L"),
        "hyps_lens": ("N",),
    }
    return _model(nodes, inputs, {"decoder_log_probs": ("N", "L", UNITS)}, constants)


def _weights(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return (generator.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)


def _model(nodes, inputs, outputs, constants) -> onnx.ModelProto:  # type: ignore[no-untyped-def]
    def described(items):  # type: ignore[no-untyped-def]
        return [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT if len(shape) == 3 else TensorProto.INT64, shape
            )
            for name, shape in items.items()
        ]

    wrapped = []
    for name, value in constants.items():
        tensor = numpy_helper.from_array(value, name)
        wrapped.append(node("Constant", [], [name], value=tensor))
    model = helper.make_model(
        helper.make_graph([*wrapped, *nodes], "small", described(inputs), described(outputs)),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="converter",
        doc_string="made in /home/builder",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def write_ranges(folder: Path, path: Path) -> Path:
    """What the calibrate stage leaves, for numbers within 4 everywhere."""
    ranges = {}
    for file in sorted(folder.glob("*.onnx")):
        model = onnx.load(file)
        names = activations(model, set(operator_kinds(model)))
        ranges[file.stem] = dict.fromkeys(names, (-4.0, 4.0))
    path.write_text(json.dumps({"ranges": ranges}))
    return path
