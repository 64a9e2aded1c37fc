from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from pydantic import ValidationError

from asrpack.errors import InputError
from asrpack.graph.quantization.half import to_fp16
from asrpack.measure.cases import load_cases, onnx_run
from asrpack.runtime.cpu import cpu_flags, has_vnni
from asrpack.runtime.engines.onnxruntime import open_session
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
    given = {"onnx": inputs["onnx"], "cases": inputs["cases"]}
    Quantize().run(Quantize.Params(**params), given, out, Context())
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


@pytest.mark.parametrize("params", [{"precision": "int2"}, {"block_size": 48}, {"method": "hqq"}])
def test_an_unknown_option_is_an_error(params):
    with pytest.raises(ValidationError):
        Quantize.Params(**params)


WAYS = {
    "int8": {"precision": "int8"},
    "int8 blocks": {"precision": "int8", "method": "weight_only"},
    "int4 blocks": {"precision": "int4", "block_size": 32},
    "fp16 stored": {"precision": "fp16"},
    "fp16": {"precision": "fp16", "half": "arithmetic"},
}
all_ways = pytest.mark.parametrize("way", WAYS)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_blocks_leave_the_output_layers_alone_and_take_patterns(inputs, tmp_path, precision):
    params = {"precision": precision, "method": "weight_only"}
    suffix = "_Q8" if precision == "int8" else "_Q4"

    def blocks(folder):
        stored = (onnx.load(path).graph.initializer for path in folder.glob("*.onnx"))
        names = [item.name for items in stored for item in items]
        return {name.removesuffix(suffix) for name in names if name.endswith(suffix)}

    assert blocks(quantize(inputs, tmp_path / "a", **params)) == {
        "hidden.w",
        "pointwise.w",
        "mix.w",
    }
    chosen = quantize(inputs, tmp_path / "b", **params, exclude=("mix.w",))
    assert blocks(chosen) == {"hidden.w", "pointwise.w"}


@pytest.mark.parametrize(
    ("way", "tolerance"),
    [
        ("int8", 0.2),
        ("int8 blocks", 0.2),
        ("int4 blocks", 1.0),
        ("fp16 stored", 0.02),
        ("fp16", 0.02),
    ],
)
def test_outputs_stay_close_and_fp32_and_files_valid(inputs, tmp_path, way, tolerance):
    folder = quantize(inputs, tmp_path / "out", **WAYS[way])
    run = onnx_run(folder)
    for case in load_cases(inputs["cases"]):
        found = run(case.graph, case.feed)
        for name, values in case.expected.items():
            assert found[name].dtype == values.dtype
            assert np.abs(found[name] - values).mean() < tolerance
    for path in folder.iterdir():
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check="blocks" not in way)  # an operator of ORT's own
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
    if kernel == "exact" and not has_vnni(cpu_flags()):
        options = session.get_session_options()
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
    else:
        with pytest.raises(RuntimeError):
            session.get_session_options().get_session_config_entry("session.x64quantprecision")


@all_ways
def test_lengths_stay_exact(inputs, tmp_path, way):
    """2049 is no number of fp16."""
    folder = quantize(inputs, tmp_path / "out", **WAYS[way])
    lengths = np.array([2049, 4099, 16001])
    feed = {"feats": np.zeros((3, 1, 64), np.float32), "feat_lens": lengths}
    found = onnx_run(folder)("encoder", feed)["out_lens"]
    assert found.tolist() == lengths.tolist()


@all_ways
def test_the_same_input_gives_the_same_bytes(inputs, tmp_path, way):
    first = quantize(inputs, tmp_path / "a", **WAYS[way])
    second = quantize(inputs, tmp_path / "b", **WAYS[way])
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def kept(folder):
    return json.loads((folder.parent / "kept_fp32.json").read_bytes())


def loud(inputs, folder, factor):
    """The same model with a layer so much larger, and its bias-free norm behind it."""
    folder.mkdir()
    for path in inputs["onnx"].iterdir():
        graph = onnx.load(path)
        if path.stem == "encoder":
            for item in graph.graph.initializer:
                if item.name in ("hidden.w", "pointwise.w"):
                    scale = factor if item.name == "hidden.w" else 1 / factor
                    array = np.float32(scale) * onnx.numpy_helper.to_array(item)
                    item.CopyFrom(onnx.numpy_helper.from_array(array, item.name))
        onnx.save(graph, folder / path.name)
    return inputs | {"onnx": folder}


def best_units(folder, case, evaluate):
    """The unit of each frame by the graph in a folder."""
    outputs = evaluate(folder / "encoder.onnx", case.feed)
    valid = np.arange(outputs.shape[1]) < case.lengths["ctc_log_probs"][:, None]
    return outputs.argmax(-1)[valid].tolist()


def in_ort(path, feed):
    return onnx_run(path.parent)("encoder", feed)["ctc_log_probs"]


def in_half(path, feed):
    """As a GPU computes: in fp16 where the graph says so, which ONNX Runtime on a CPU does not."""
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(str(path)).run(["ctc_log_probs"], dict(feed))[0]


def test_an_overflow_is_found_kept_in_fp32_and_the_text_stays_the_same(inputs, tmp_path):
    model = loud(inputs, tmp_path / "loud", 2.0**18)
    case = next(case for case in load_cases(inputs["cases"]) if case.graph == "encoder")
    folder = quantize(model, tmp_path / "out", precision="fp16", half="arithmetic")
    found = {item["tensor"]: item for item in kept(folder)}
    # What the scaled layer makes and what it is made of; the next layer's weights are subnormal.
    assert {"hidden.w", "h0", "pointwise.w"} <= set(found)
    assert found["h0"]["largest"] > 65504
    assert "hidden" in found["h0"]["nodes"] and found["h0"]["graph"] == "encoder"
    stored = {item.name: item for item in onnx.load(folder / "encoder.onnx").graph.initializer}
    assert stored["hidden.w"].data_type == onnx.TensorProto.FLOAT
    assert stored["ctc.w"].data_type == onnx.TensorProto.FLOAT16
    text = best_units(inputs["onnx"], case, in_ort)
    assert best_units(folder, case, in_half) == text
    assert best_units(folder, case, in_ort) == text
    # Without the search it would not be.
    naive = onnx.load(model["onnx"] / "encoder.onnx")
    onnx.save(to_fp16(naive), tmp_path / "naive.onnx")
    outputs = in_half(tmp_path / "naive.onnx", case.feed)
    assert not np.isfinite(outputs).all()


def test_stored_in_half_the_text_is_the_same_and_what_does_not_fit_stays_fp32(inputs, tmp_path):
    case = next(case for case in load_cases(inputs["cases"]) if case.graph == "encoder")
    text = best_units(inputs["onnx"], case, in_ort)
    plain = quantize(inputs, tmp_path / "plain", precision="fp16")
    assert kept(plain) == [] and best_units(plain, case, in_ort) == text
    model = loud(inputs, tmp_path / "loud", 2.0**18)
    folder = quantize(model, tmp_path / "out", precision="fp16")
    assert [item["tensor"] for item in kept(folder)] == ["hidden.w", "pointwise.w"]
    assert best_units(folder, case, in_ort) == text


def test_in_range_nothing_is_kept(inputs, tmp_path):
    assert kept(quantize(inputs, tmp_path / "out", precision="fp16", half="arithmetic")) == []
    assert kept(quantize(inputs, tmp_path / "full", precision="fp32")) == []
