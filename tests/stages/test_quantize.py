from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from asrpack.errors import InputError
from asrpack.measure.cases import load_cases, onnx_run
from asrpack.runtime.session import open_session
from asrpack.stages.optimize import Optimize
from asrpack.stages.quantize import Quantize
from asrpack.stages.stage import Context
from tests.stages.onnx_model import write_model, write_ranges


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("model")
    inputs = write_model(folder)
    (folder / "optimized").mkdir()
    Optimize().run(Optimize.Params(), inputs, folder / "optimized", Context())
    return inputs | {"onnx": folder / "optimized" / "onnx"}


def quantize(inputs: dict[str, Path], out: Path, **params: object) -> Path:
    out.mkdir()
    Quantize().run(Quantize.Params(**params), {"onnx": inputs["onnx"]}, out, Context())
    return out / "onnx"


def matrices(folder: Path) -> set[str]:
    """Names of the weights that are stored as int8."""
    return {
        item.name.removesuffix("_quantized")
        for path in folder.glob("*.onnx")
        for item in onnx.load(path).graph.initializer
        if item.name.endswith("_quantized")
    }


def test_fp32_is_a_copy(inputs, tmp_path):
    folder = quantize(inputs, tmp_path / "out", precision="fp32")
    for path in inputs["onnx"].iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_int8_leaves_the_output_layers_alone(inputs, tmp_path):
    folder = quantize(inputs, tmp_path / "out", precision="int8")
    assert matrices(folder) == {"hidden.w", "pointwise.w", "mix.w"}


@pytest.mark.parametrize(
    ("params", "quantized"),
    [
        ({"operators": ("output",)}, {"ctc.w", "output.w"}),
        ({"operators": ("matmul", "output"), "exclude": ("ctc*", "mix.w")},
         {"hidden.w", "pointwise.w", "output.w"}),
        ({"exclude": ("*",)}, set()),
        ({"include": ("*i*",)}, {"hidden.w", "pointwise.w", "mix.w"}),
        ({"include": ("*i*",), "exclude": ("mix",)}, {"hidden.w", "pointwise.w"}),
        ({"include": ("ctc",)}, set()),
    ],
)  # fmt: skip
def test_what_is_quantized(inputs, tmp_path, params, quantized):
    folder = quantize(inputs, tmp_path / "out", precision="int8", **params)
    assert matrices(folder) == quantized


def test_a_pattern_that_names_nothing_is_an_error(inputs, tmp_path):
    with pytest.raises(InputError) as caught:
        quantize(inputs, tmp_path / "out", precision="int8", exclude=("ctc*", "encoder.*"))
    assert caught.value.code == "exclude-unmatched"
    assert "'encoder.*'" in caught.value.message
    assert "hidden.w" in caught.value.remedy
    with pytest.raises(InputError) as caught:
        quantize(inputs, tmp_path / "again", precision="int8", include=("hidden.x",))
    assert caught.value.code == "include-unmatched"


def test_an_unknown_precision_is_an_error():
    with pytest.raises(ValidationError):
        Quantize.Params(precision="int4")


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.2), ("fp16", 0.02)])
def test_outputs_stay_close_and_fp32_and_files_valid(inputs, tmp_path, precision, tolerance):
    folder = quantize(inputs, tmp_path / "out", precision=precision)
    run = onnx_run(folder)
    for case in load_cases(inputs["cases"]):
        found = run(case.graph, case.feed)
        for name, values in case.expected.items():
            assert found[name].dtype == values.dtype
            assert np.abs(found[name] - values).mean() < tolerance
    for path in folder.iterdir():
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        assert graph.producer_name == "asrpack"
        assert {item.key for item in graph.metadata_props} == {"asrpack.family", "asrpack.graph"}
        assert path.stat().st_size < 0.8 * (inputs["onnx"] / path.name).stat().st_size


@pytest.mark.parametrize(
    "params",
    [{}, {"cpu": "arm64"}, {"cpu": "avx2", "operators": ("matmul", "conv", "output")}],
    ids=str,
)
def test_static_int8(inputs, tmp_path, params):
    """Ranges of activations are in the graph; the same input gives the same bytes."""
    calibration = write_ranges(inputs["onnx"], tmp_path / "calibration.json")
    folders = []
    for name in "ab":
        (tmp_path / name).mkdir()
        wanted = Quantize.Params(method="static", **params)
        given = {"onnx": inputs["onnx"], "calibration": calibration}
        Quantize().run(wanted, given, tmp_path / name, Context())
        folders.append(tmp_path / name / "onnx")
    expected = {"hidden.w", "pointwise.w", "mix.w"}
    assert matrices(folders[0]) == expected | (
        {"ctc.w", "output.w"} if "operators" in params else set()
    )
    run = onnx_run(folders[0])
    for case in load_cases(inputs["cases"]):
        found = run(case.graph, case.feed)
        for name, values in case.expected.items():
            assert np.abs(found[name] - values).mean() < 0.2
    for path in folders[0].iterdir():
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        assert "DynamicQuantizeLinear" not in {node.op_type for node in graph.graph.node}
        assert graph.producer_name == "asrpack"
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()


@pytest.mark.parametrize(("cpu", "kernel"), [("any", "exact"), ("avx2", "fast")])
@pytest.mark.parametrize("method", ["dynamic", "static"])
def test_weights_of_seven_bits_need_no_exact_kernel(inputs, tmp_path, method, cpu, kernel):
    calibration = write_ranges(inputs["onnx"], tmp_path / "calibration.json")
    (tmp_path / "out").mkdir()
    given = {"onnx": inputs["onnx"], "calibration": calibration}
    Quantize().run(Quantize.Params(method=method, cpu=cpu), given, tmp_path / "out", Context())
    data = (tmp_path / "out/onnx/encoder.onnx").read_bytes()
    session = open_session(data, "encoder.onnx")
    if kernel == "exact":
        options = session.get_session_options()
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError):
            session.get_session_options().get_session_config_entry("session.x64quantprecision")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lengths_stay_exact(inputs, tmp_path, precision):
    """2049 is no number of fp16."""
    folder = quantize(inputs, tmp_path / "out", precision=precision)
    lengths = np.array([2049, 4099, 16001])
    feed = {"feats": np.zeros((3, 1, 64), np.float32), "feat_lens": lengths}
    found = onnx_run(folder)("encoder", feed)["out_lens"]
    assert found.tolist() == lengths.tolist()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_same_input_gives_the_same_bytes(inputs, tmp_path, precision):
    first = quantize(inputs, tmp_path / "a", precision=precision)
    second = quantize(inputs, tmp_path / "b", precision=precision)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
