"""A described CTC graph: read, held against its description, rewritten to asrpack's interface."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from asrpack.bundle.model import FbankSpec, WaveformSpec
from asrpack.errors import InputError
from asrpack.frontends.onnx_models import read
from asrpack.graph.import_graphs import build
from asrpack.measure.cases import onnx_run
from asrpack.networks.families import graph_specs
from asrpack.recipe.model_source import FrontEnd, OnnxInputs, OnnxModel, OnnxOutputs
from tests.frontends.onnx_graphs import FLOAT, INT32, INT64, TOKENS, ctc, expected, node, save
from tests.frontends.onnx_graphs import model as make

FBANK = FrontEnd.model_validate({"fbank": {"full_scale": 1.0}})
WAVEFORM = FrontEnd.model_validate({"waveform": {}})


def described(path: Path, **more: Any) -> OnnxModel:
    return OnnxModel.model_construct(
        source="onnx", path=path, tokens=None, **({"front_end": FBANK} | more)
    )


def imported(path: Path, folder: Path, **more: Any) -> Any:
    """Runs the imported encoder as the runtime does."""
    found = read(described(path, **more))
    for name, graph in build(found.encoder, found.files, graph_specs(found.description)).items():
        onnx.save(graph, folder / f"{name}.onnx")
    return found, onnx_run(folder)


LAYOUTS = [
    dict(zip(("axes", "scores_axes", "kind", "lengths", "out_lengths"), values, strict=True))
    for values in itertools.chain(
        itertools.product(["BTD"], ["BTV", "TBV", "BVT"], ["logits"], [INT32], [True]),
        itertools.product(["BDT"], ["BTV"], ["probabilities", "logits"], [INT64], [True, False]),
        itertools.product(["BTD"], ["BTV"], ["log_probabilities"], [None, INT32], [False]),
    )
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda item: "-".join(map(str, item.values())))
def test_every_layout_computes_the_same(tmp_path: Path, layout: dict[str, Any]) -> None:
    path = save(ctc(**layout), tmp_path / "model")
    found, run = imported(path, tmp_path)
    assert found.encoder.kind == layout["kind"]
    assert (found.description.subsampling, found.description.right_context) == (4, 0)
    assert found.description.tokens == TOKENS
    feats = np.random.default_rng(1).standard_normal((3, 42, 40)).astype(np.float32)
    lens = np.array([42, 41, 5])
    outputs = run("encoder", {"feats": feats, "feat_lens": lens})
    assert outputs["out_lens"].tolist() == [11, 11, 2]
    np.testing.assert_allclose(outputs["ctc_log_probs"], expected(feats), atol=1e-5)


def test_a_constant_input_is_baked_in(tmp_path: Path) -> None:
    path = save(ctc(constants={"language": 0}), tmp_path / "model")
    with pytest.raises(InputError, match="more than one input may be it: language, x_lens"):
        read(described(path))
    with pytest.raises(InputError, match="further inputs: language"):
        read(described(path, inputs=OnnxInputs(lengths="x_lens")))
    inputs = OnnxInputs(lengths="x_lens", constants={"language": 3})
    found, run = imported(path, tmp_path, inputs=inputs)
    feats = np.random.default_rng(1).standard_normal((2, 8, 40)).astype(np.float32)
    outputs = run("encoder", {"feats": feats, "feat_lens": np.array([8, 8])})
    np.testing.assert_allclose(outputs["ctc_log_probs"], expected(feats, bias=3), atol=1e-5)
    assert found.description.graphs == ("encoder",)


def test_half_precision_becomes_fp32(tmp_path: Path) -> None:
    made = ctc()
    weight = next(item for item in made.graph.initializer if item.name == "w")
    half = numpy_helper.to_array(weight).astype(np.float16)
    weight.CopyFrom(numpy_helper.from_array(half, "w"))
    cast_up = node("Cast", ["w"], ["w32"], to=FLOAT)
    next(item for item in made.graph.node if "w" in item.input).input[1] = "w32"
    made.graph.node.insert(0, cast_up)
    found, run = imported(save(made, tmp_path / "model"), tmp_path)
    assert found.description.network["half"]
    graph = onnx.load(tmp_path / "encoder.onnx")
    assert all(item.data_type != TensorProto.FLOAT16 for item in graph.graph.initializer)
    feats = np.ones((1, 8, 40), np.float32)
    outputs = run("encoder", {"feats": feats, "feat_lens": np.array([8])})
    assert np.abs(outputs["ctc_log_probs"] - expected(feats)).max() < 1e-2


def waveform_graph() -> onnx.ModelProto:
    """A window of 400 samples every 160, in the graph."""
    return make(
        [
            node("Unsqueeze", ["wave", "one"], ["w1"]),
            node("Conv", ["w1", "kernel"], ["c"], strides=[160]),
            node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
            node("LogSoftmax", ["t"], ["y"], axis=-1),
        ],
        {"wave": (FLOAT, ("B", "N"))},
        {"y": (FLOAT, ("B", "T", 5))},
        {"one": np.array([1]), "kernel": np.ones((5, 1, 400), np.float32)},
    )


def test_samples_and_the_fewest_of_them(tmp_path: Path) -> None:
    path = save(waveform_graph(), tmp_path / "model")
    found = read(described(path, front_end=WAVEFORM, silent=("<wb>",), max_seconds=10.0))
    about = found.description
    assert about.front_end == WaveformSpec(16000, 1.0)
    assert (about.subsampling, about.right_context, about.max_frames) == (160, 399, 1000)
    assert about.tokens == ("<blank>", "a", "b", "c", "")
    with pytest.raises(InputError, match="does not tell its front end"):
        read(described(path, front_end=None))
    with pytest.raises(InputError, match="takes filterbanks"):
        read(described(path))


def test_filterbanks_as_wide_as_the_input(tmp_path: Path) -> None:
    path = save(ctc(bins=80), tmp_path / "model")
    front_end = FrontEnd.model_validate({"fbank": {"stack": 2, "stack_shift": 2}})
    about = read(described(path, front_end=front_end)).description
    assert isinstance(about.front_end, FbankSpec)
    assert (about.front_end.num_mel_bins, about.front_end.dim) == (40, 80)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"front_end": WAVEFORM}, "takes samples, and it takes x"),
    ({"front_end": FrontEnd.model_validate({"fbank": {"num_mel_bins": 23}})}, "gives 23 numbers"),
    ({"scores": "probabilities"}, "they are log_probabilities"),
    ({"inputs": OnnxInputs(features="y")}, "no input 'y'"),
    ({"inputs": OnnxInputs(lengths="x_len")}, "did you mean 'x_lens'"),
    ({"inputs": OnnxInputs(constants={"z": 1})}, "no input 'z'"),
    ({"outputs": OnnxOutputs(scores="y_lens")}, "not batch, time and units"),
    ({"outputs": OnnxOutputs(lengths="lens")}, "no output 'lens'"),
    ({"blank": "<blnk>"}, "did you mean '<blank>'"),
    ({"silent": ("<sil>",)}, "no unit '<sil>'"),
]


@pytest.mark.parametrize(("wrong", "cause"), WRONG, ids=lambda item: str(item)[:40])
def test_what_contradicts_the_graph_is_an_error(
    tmp_path: Path, wrong: dict[str, Any], cause: str
) -> None:
    path = save(ctc(), tmp_path)
    with pytest.raises(InputError, match=cause) as caught:
        read(described(path, **wrong))
    assert caught.value.place and caught.value.remedy


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no units"),
        ("<blank>\na\nb\n", "3 units, and the graph has 5 outputs"),
        ("<blank> 0\na 1\nb 1\nc 3\nd 4\n", "no line has the id 2"),
        ("x\na\nb\nc\nd\n", "no unit is named as a blank"),
    ],
)
def test_units_that_do_not_fit(tmp_path: Path, text: str, cause: str) -> None:
    path = save(ctc(), tmp_path)
    (tmp_path / "tokens.txt").write_text(text)
    with pytest.raises(InputError, match=cause):
        read(described(path))


def test_units_with_ids_and_odd_units(tmp_path: Path) -> None:
    path = save(ctc(), tmp_path)
    text = "<blank> 0\n  1\n\u2028 2\n3 3\n▁a 4\n"  # the second is a space
    (tmp_path / "tokens.txt").write_text(text, encoding="utf-8")
    about = read(described(path)).description
    assert about.tokens == ("<blank>", " ", "\u2028", "3", "▁a") and about.unit_type == "spm"


def external(tmp_path: Path, location: str) -> Path:
    path = save(ctc(), tmp_path)
    made = onnx.load(path)
    weight = next(item for item in made.graph.initializer if item.name == "w")
    data = weight.raw_data
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(made.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(data)
    return path


def test_external_data(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    found = read(described(path))
    assert tmp_path / "weights.bin" in found.sources
    graphs = build(found.encoder, found.files, graph_specs(found.description))
    assert all(not item.external_data for item in graphs["encoder"].graph.initializer)
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(InputError, match="cut short") as caught:
        read(described(path))
    assert caught.value.code == "onnx-external-truncated"
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(InputError, match="is missing"):
        read(described(path))


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "link/../../weights.bin"])
def test_external_data_outside_the_folder(tmp_path: Path, location: str) -> None:
    path = external(tmp_path / "inner", location)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4096)
    with pytest.raises(InputError, match="outside the model's folder"):
        read(described(path))


def test_external_data_through_a_link_outside(tmp_path: Path) -> None:
    path = external(tmp_path / "inner", "link.bin")
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    (tmp_path / "inner" / "link.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="outside the model's folder"):
        read(described(path))


def custom(made: onnx.ModelProto) -> None:
    made.graph.node.append(node("Fused", ["y"], ["z"], domain="com.acme"))
    made.opset_import.append(helper.make_opsetid("com.acme", 1))


def unknown_operator(made: onnx.ModelProto) -> None:
    next(item for item in made.graph.node if item.op_type == "MatMul").op_type = "MatMull"


def newer(made: onnx.ModelProto) -> None:
    made.opset_import[0].version = 99


def newer_ir(made: onnx.ModelProto) -> None:
    made.ir_version = 60


@pytest.mark.parametrize(
    ("change", "code", "cause"),
    [
        (custom, "onnx-custom-operators", "com.acme::Fused"),
        (unknown_operator, "onnx-not-runnable", "MatMull"),
        (newer, "onnx-too-new", "opset 99"),
        (newer_ir, "onnx-too-new", "IR version 60"),
    ],
)
def test_what_the_runtime_cannot_run(tmp_path: Path, change: Any, code: str, cause: str) -> None:
    made = ctc()
    change(made)
    path = save(ctc(), tmp_path)
    path.write_bytes(made.SerializeToString())
    with pytest.raises(InputError, match=cause) as caught:
        read(described(path))
    assert caught.value.code == code


def test_truncated_at_every_length(tmp_path: Path) -> None:
    path = save(ctc(), tmp_path)
    data = path.read_bytes()
    for size in range(0, len(data), 37):
        path.write_bytes(data[:size])
        with pytest.raises(InputError) as caught:
            read(described(path))
        assert caught.value.code in ("onnx-truncated", "not-onnx", "onnx-not-runnable"), size


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("model.onnx", b"PK\x03\x04rest", "PyTorch"),
        ("model.onnx", b"\x1c\0\0\0TFL3rest", "TensorFlow Lite"),
        ("model.onnx", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("model.nemo", b"anything", "NeMo"),
        ("model.safetensors", b"anything", "safetensors"),
    ],
)
def test_other_files_are_named(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=what) as caught:
        read(described(tmp_path / name))
    assert caught.value.code == "not-onnx"
