"""``quantize`` and ``watermark`` for Paddle Inference, of a model exported for real."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrpack.bundle.keys import WATERMARK, armour
from asrpack.errors import InputError, ToolchainError
from asrpack.graph.pir.precision import to_fp16
from asrpack.graph.pir.program import Program
from asrpack.measure.cases import compare_cases, load_cases, save_cases
from asrpack.pipeline.digest import digest_path
from asrpack.protect.detection import ACCUSE_Z, detect
from asrpack.runtime.engines import graph_files, open_graph
from asrpack.stages.export import Export
from asrpack.stages.quantize_paddle import QuantizePaddle
from asrpack.stages.stage import Context
from asrpack.stages.watermark import WatermarkPaddle, read_weights
from benchmarks.stage_chain import run_stage
from tests.networks.variants import SPEC, VARIANTS
from tests.stages.paddle_models import imported

pytest.importorskip("paddle2onnx")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("quantize_paddle")]

WIDE = replace(VARIANTS["causal"].encoder, output_size=64, linear_units=128)
KEY = bytes(range(32))
# Squeezeformers do not stream.
OTHERS = {
    "transformer: plain": True,
    "squeezeformer: conv2d": False,
    "decoder: both ways": False,
}


def exported(folder: Path, spec=replace(SPEC, encoder=WIDE), streaming: bool = True):  # noqa: B008
    inputs = imported(spec, folder / "model", streaming=streaming)
    out = run_stage(Export(), inputs, folder)
    given = {"paddle": out / "paddle", "cases": out / "cases.npz"}
    return {**given, "description": inputs["description"]}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of a conformer that streams."""
    return exported(tmp_path_factory.mktemp("exported"))


def quantize(inputs: dict[str, Path], folder: Path, **params: object) -> Path:
    """In a process of its own, as a build does."""
    folder.mkdir(exist_ok=True)
    params = QuantizePaddle.Params.model_validate(params)
    return run_stage(QuantizePaddle(), inputs, folder, params) / "paddle"


@pytest.fixture(scope="module")
def quantized(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("quantized")
    return {
        name: quantize(inputs, folder / name, precision=name) for name in ("fp32", "fp16", "int8")
    }


def differences(inputs: dict[str, Path], folder: Path, tolerance: float) -> None:
    """Runs every case, chunks too, on the runtime's engine."""
    graphs = {}
    for case in (cases := load_cases(inputs["cases"])):
        files = graph_files("paddle_inference", [case.graph])
        contents = {name: (folder / name).read_bytes() for name in files}
        graphs[case.graph] = open_graph("paddle_inference", case.graph, contents, 1)

    def run(name, feed):
        graph = graphs[name]
        return dict(zip(graph.outputs, graph.run(graph.outputs, feed), strict=True))

    compare_cases("test", cases, run, tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 0.03), ("int8", 1)])
def test_every_precision_runs_whole_and_chunk_by_chunk(
    inputs, quantized, precision: str, tolerance: float
) -> None:
    differences(inputs, quantized[precision], tolerance)


def test_sizes(inputs, quantized) -> None:
    size = {
        name: sum(item.stat().st_size for item in folder.glob("*.pdiparams"))
        for name, folder in quantized.items()
    }
    assert size["int8"] < size["fp16"] < 0.6 * size["fp32"]


def test_the_same_input_gives_the_same_bytes(inputs, quantized, tmp_path: Path) -> None:
    again = quantize(inputs, tmp_path, precision="int8")
    for path in quantized["int8"].iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()


def test_other_numbers_than_the_networks_are_refused(inputs, tmp_path: Path) -> None:
    cases = load_cases(inputs["cases"])
    wrong = {name: value + 0.01 for name, value in cases[0].expected.items()}
    save_cases(tmp_path / "cases.npz", [replace(cases[0], expected=wrong)])
    with pytest.raises(ToolchainError, match="quantize: "):
        quantize(inputs | {"cases": tmp_path / "cases.npz"}, tmp_path / "a", precision="fp32")


def test_layers_stay_fp32_by_name(inputs, quantized, tmp_path: Path) -> None:
    folder = quantize(inputs, tmp_path / "a", precision="int8", exclude=("*.self_attn.*",))
    plain, fewer = read_weights(quantized["int8"]), read_weights(folder)
    original = read_weights(inputs["paddle"])
    attention = [name for name in original if ".self_attn." in name]
    assert attention
    for name in attention:
        assert np.array_equal(fewer[name], original[name])
        assert not np.array_equal(plain[name], original[name])
    with pytest.raises(InputError, match="'nothing' of `exclude`") as caught:
        quantize(inputs, tmp_path / "b", precision="int8", exclude=("nothing",))
    assert ".weight" in (caught.value.remedy or "")


def mark(
    inputs, folder: Path, out: Path, customer: str = "acme", stage: WatermarkPaddle | None = None
) -> Path:
    out.mkdir()
    (stage or WatermarkPaddle()).run(
        WatermarkPaddle.Params(customer=customer),
        {"original": inputs["paddle"], "paddle": folder},
        out,
        Context(secrets={"key": armour(WATERMARK, KEY)}),
    )
    return out


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_model_that_is_kept_gives_each_customer_the_same_files(
    inputs, quantized, tmp_path: Path, precision: str
) -> None:
    kept = WatermarkPaddle(keeps=True)
    for number, customer in enumerate(["acme", "bolt", "acme"]):
        folders = [
            mark(inputs, quantized[precision], tmp_path / f"{number} {name}", customer, stage)
            for name, stage in (("kept", kept), ("fresh", None))
        ]
        assert digest_path(folders[0]) == digest_path(folders[1])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_mark_is_found_and_the_graph_still_runs(
    inputs, quantized, tmp_path: Path, precision: str
) -> None:
    out = mark(inputs, quantized[precision], tmp_path / "out")
    original, marked = read_weights(inputs["paddle"]), read_weights(out / "paddle")
    scores = detect(original, marked, KEY, ["acme", "bolt"])
    z = {score.customer: score.z for score in scores}
    assert z["acme"] > ACCUSE_Z and abs(z["bolt"]) < 5
    unmarked = detect(original, read_weights(quantized[precision]), KEY, ["acme"])
    assert abs(unmarked[0].z) < 5
    report = json.loads((out / "mark.json").read_bytes())
    assert set(report["committed"]["original"]) == {"encoder.pdiparams", "decoder.pdiparams"}
    assert "encoder/encoder.encoders.0.conv_module.pointwise_conv1.weight" in report["tensors"]
    differences(inputs, out / "paddle", 1)
    for name in ("encoder.json", "decoder.json"):
        assert (out / "paddle" / name).read_bytes() == (quantized[precision] / name).read_bytes()


def test_weights_of_another_model_are_refused(inputs, quantized, tmp_path: Path) -> None:
    other = exported(tmp_path / "other", SPEC)
    with pytest.raises(InputError) as caught:
        mark(other, quantized["int8"], tmp_path / "out")
    assert caught.value.code == "watermark-unrelated"


def test_a_graph_too_many_is_refused(inputs, quantized, tmp_path: Path) -> None:
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for path in inputs["paddle"].glob("decoder.*"):
        shutil.copyfile(path, fewer / path.name)
    with pytest.raises(InputError) as caught:
        mark(inputs | {"paddle": fewer}, quantized["fp32"], tmp_path / "out")
    assert caught.value.code == "watermark-unrelated"


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_other_networks(tmp_path: Path, name: str, precision: str) -> None:
    inputs = exported(tmp_path, VARIANTS[name], OTHERS[name])
    differences(inputs, quantize(inputs, tmp_path / "q", precision=precision), 1)


def test_a_weight_beyond_fp16_stays_fp32(inputs) -> None:
    program = Program.load(inputs["paddle"] / "encoder")
    name = "encoder.encoders.0.feed_forward.w_1.weight"
    large = program.parameters[name] * np.float32(1e6)
    program.store(name, large)
    to_fp16(program)
    assert program.parameters[name].dtype == np.float32
    assert np.array_equal(program.parameters[name], large)
    other = program.parameters["encoder.encoders.0.feed_forward.w_2.weight"]
    assert other.dtype == np.float16
