"""``export`` and ``convert`` for real: Paddle, paddle2onnx, ONNX Runtime, in child processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

from asrpack.errors import ToolchainError
from asrpack.measure.cases import load_cases, onnx_run, save_cases
from asrpack.measure.compare import compare
from asrpack.networks.interface import GraphSpec, floats
from asrpack.networks.u2_graphs import graph_specs
from asrpack.networks.u2_spec import U2Spec
from asrpack.pipeline.worker import run_isolated
from asrpack.stages.convert import Convert
from asrpack.stages.export import Export
from asrpack.stages.stage import Context, Params, Stage
from tests.networks.variants import SPEC, VARIANTS
from tests.stages.paddle_models import imported

pytest.importorskip("paddle2onnx")


def isolated(stage: Stage, inputs: Mapping[str, Path], workspace: Path) -> tuple[Path, str]:
    """Runs a stage as a build does; its output folder and the last progress text."""
    (workspace / "out").mkdir(parents=True)
    texts: list[str] = []
    context = Context(progress=lambda done, total, text: texts.append(text))
    run_isolated(stage, stage.Params(), inputs, workspace, context)
    return workspace / "out", texts[-1]


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def convert_inputs(inputs: Mapping[str, Path], exported: Path) -> dict[str, Path]:
    return {
        "paddle": exported / "paddle",
        "cases": exported / "cases.npz",
        "description": inputs["description"],
    }


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return imported(SPEC, tmp_path_factory.mktemp("imported"))


@pytest.fixture(scope="module")
def exported(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return isolated(Export(), inputs, tmp_path_factory.mktemp("export"))[0]


@pytest.fixture(scope="module")
def converted(
    inputs: dict[str, Path], exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    workspace = tmp_path_factory.mktemp("convert")
    return isolated(Convert(), convert_inputs(inputs, exported), workspace)[0]


def test_export_leaves_what_it_declares(exported: Path) -> None:
    assert sorted(digests(exported)) == [
        "cases.npz",
        "paddle/decoder.json",
        "paddle/decoder.pdiparams",
        "paddle/encoder.json",
        "paddle/encoder.pdiparams",
    ]
    cases = load_cases(exported / "cases.npz")
    assert [(case.graph, case.label) for case in cases] == [
        ("encoder", ""),
        ("decoder", ""),
        ("decoder", "with a cache"),
        ("decoder", "as a tree"),
    ]
    expected = {**cases[0].expected, **cases[1].expected}
    assert {name: array.shape for name, array in expected.items()} == {
        "encoder_out": (3, 21, 16),
        "ctc_log_probs": (3, 21, 13),
        "out_lens": (3,),
        "decoder_log_probs": (3, 8, 13),
        "next_cache": (2, 3, 8, 16),
    }
    assert cases[2].expected["decoder_log_probs"].shape == (3, 4, 13)
    assert expected["out_lens"].tolist() == [21, 14, 7]


def test_same_bytes_again(
    inputs: dict[str, Path], exported: Path, converted: Path, tmp_path: Path
) -> None:
    again, _ = isolated(Export(), inputs, tmp_path / "export")
    assert digests(again) == digests(exported)
    graphs, _ = isolated(Convert(), convert_inputs(inputs, again), tmp_path / "convert")
    assert digests(graphs) == digests(converted)


def shapes(values: Any) -> dict[str, tuple[int, list[str | int]]]:
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    }


def test_names_types_and_axes_of_the_graphs(converted: Path) -> None:
    assert sorted(digests(converted)) == ["onnx/decoder.onnx", "onnx/encoder.onnx"]
    float32, int64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    encoder = onnx.load(converted / "onnx/encoder.onnx")
    assert encoder.opset_import[0].version == 17
    assert shapes(encoder.graph.input) == {
        "feats": (float32, ["B", "T", 80]),
        "feat_lens": (int64, ["B"]),
    }
    assert shapes(encoder.graph.output) == {
        "encoder_out": (float32, ["B", "T_out", 16]),
        "ctc_log_probs": (float32, ["B", "T_out", 13]),
        "out_lens": (int64, ["B"]),
    }
    decoder = onnx.load(converted / "onnx/decoder.onnx")
    assert shapes(decoder.graph.input) == {
        "encoder_out": (float32, [1, "T_out", 16]),
        "hyps_in": (int64, ["N", "L"]),
        "ancestors": (int64, ["L", "L"]),
        "cache": (float32, [2, "N", "C", 16]),
    }
    assert shapes(decoder.graph.output) == {
        "decoder_log_probs": (float32, ["N", "M", 13]),
        "next_cache": (float32, [2, "N", "M", 16]),
    }


@pytest.mark.parametrize(("rows", "frames"), [(1, 7), (1, 90), (2, 200), (5, 33)])
def test_any_batch_and_length(
    inputs: dict[str, Path], exported: Path, converted: Path, rows: int, frames: int
) -> None:
    """ONNX against Paddle Inference, on sizes that were never traced."""
    from asrpack.networks.inference_files import run_saved

    generator = np.random.default_rng(7)
    feed = {
        "feats": generator.normal(size=(rows, frames, 80)).astype(np.float32),
        "feat_lens": np.linspace(frames, max(7, frames // 2), rows).astype(np.int64),
    }
    expected = run_saved(exported / "paddle", graph_specs(SPEC)[0], feed)
    lengths = dict.fromkeys(("encoder_out", "ctc_log_probs"), expected["out_lens"])
    compare("test", expected, onnx_run(converted / "onnx")("encoder", feed), lengths=lengths)
    assert expected["out_lens"][0] == ((frames - 1) // 2 - 1) // 2


def test_too_short_an_utterance_has_no_frames(converted: Path) -> None:
    feed = {"feats": np.zeros((2, 20, 80), np.float32), "feat_lens": np.array([20, 3])}
    found = onnx_run(converted / "onnx")("encoder", feed)
    assert found["out_lens"].tolist() == [4, 0]
    assert np.isfinite(found["encoder_out"]).all()


def test_export_notices_that_the_saved_files_differ(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asrpack.networks import inference_files

    run_saved = inference_files.run_saved

    def off(folder: Path, spec: GraphSpec, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = run_saved(folder, spec, feed)
        if spec.name == "decoder":
            outputs["decoder_log_probs"][0, 2, 5] += 0.01
        return outputs

    monkeypatch.setattr(inference_files, "run_saved", off)
    with pytest.raises(ToolchainError) as caught:
        Export().run(Params(), inputs, tmp_path, Context())
    assert caught.value.place == "export: decoder_log_probs[0, 2, 5]"


def test_convert_notices_that_the_graph_differs(
    inputs: dict[str, Path], exported: Path, tmp_path: Path
) -> None:
    given = convert_inputs(inputs, exported)
    cases = load_cases(given["cases"])
    cases[0].expected["ctc_log_probs"][1, 13, 2] += 0.01
    given["cases"] = tmp_path / "cases.npz"
    save_cases(given["cases"], cases)
    with pytest.raises(ToolchainError) as caught:
        isolated(Convert(), given, tmp_path / "convert")
    assert caught.value.code == "numeric-mismatch"
    assert caught.value.place == "convert: ctc_log_probs[1, 13, 2]"


def test_a_damaged_program_is_an_error(
    inputs: dict[str, Path], exported: Path, tmp_path: Path
) -> None:
    given = convert_inputs(inputs, exported)
    given["paddle"] = tmp_path / "paddle"
    given["paddle"].mkdir()
    for name in ("encoder", "decoder"):
        (given["paddle"] / f"{name}.json").write_text("{")
        (given["paddle"] / f"{name}.pdiparams").touch()
    with pytest.raises(ToolchainError) as caught:
        isolated(Convert(), given, tmp_path / "convert")
    assert caught.value.code == "convert-failed"
    assert caught.value.place == "convert: encoder"


class Aborting(Stage):
    """Exports a layer that paddle2onnx cannot convert, then converts it: a real SIGABRT."""

    name: ClassVar[str] = "aborting"
    outputs: ClassVar[tuple[str, ...]] = ("onnx",)
    isolated: ClassVar[bool] = True
    operator: ClassVar[str]

    def run(self, params: Params, inputs: Mapping[str, Path], out: Path, context: Context) -> None:
        import paddle

        from asrpack.graph.from_paddle import convert
        from tests.stages import unsupported_layers

        layer = getattr(unsupported_layers, self.operator)()
        spec = paddle.static.InputSpec(shape=[None, None, 8], dtype="float32", name="x")
        paddle.jit.save(paddle.jit.to_static(layer, input_spec=[spec], full_graph=True), "layer")
        axes = ("A", "B", "C")
        convert(
            Path("layer").absolute(),
            GraphSpec("layer", (floats("x", *axes),), (floats("y", *axes),)),
        )

    def explain(self, log: str) -> str | None:
        return Convert().explain(log)


class Unknown(Aborting):
    operator: ClassVar[str] = "Svd"


class Dynamic(Aborting):
    operator: ClassVar[str] = "Split"


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (Unknown, "paddle2onnx has no conversion for: svd"),
        (Dynamic, "paddle2onnx gave up at operator split_with_num: Cannot convert split op"),
    ],
)
def test_an_abort_names_the_operator(stage: type[Aborting], says: str, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError) as caught:
        isolated(stage(), {}, tmp_path)
    assert says in caught.value.message
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("text", ["", "Killed", "[Paddle2ONNX] Start parsing the Paddle model"])
def test_other_deaths_are_not_explained(text: str) -> None:
    assert Convert().explain(text) is None


@pytest.mark.slow
@pytest.mark.parametrize("spec", VARIANTS.values(), ids=VARIANTS)
def test_every_option_exports_and_converts(
    spec: U2Spec, tmp_path: Path, record_property: Any
) -> None:
    given = imported(spec, tmp_path / "imported")
    folders = (tmp_path / "export", tmp_path / "convert")
    texts: list[str] = []
    context = Context(progress=lambda done, total, text: texts.append(text))
    for folder in folders:
        folder.mkdir()
    # In this process: only the bytes need a fresh one.
    Export().run(Params(), given, folders[0], context)
    Convert().run(Params(), convert_inputs(given, folders[0]), folders[1], context)
    record_property("differences", texts[-1])
