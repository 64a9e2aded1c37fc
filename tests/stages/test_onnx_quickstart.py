"""``optimize``, ``quantize`` and ``watermark`` on the quickstart model, from its .pdparams on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from asrpack.bundle.keys import WATERMARK, armour
from asrpack.measure.cases import compare_cases, load_cases, onnx_run
from asrpack.protect.detection import ACCUSE_Z, detect
from asrpack.runtime.engines.onnxruntime import open_session
from asrpack.stages.quantize import Quantize
from asrpack.stages.search import Search
from asrpack.stages.stage import Context
from asrpack.stages.watermark import Watermark, read_weights
from benchmarks.stage_chain import run_stage, run_until_optimized

pytest.importorskip("paddle2onnx")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("onnx_quickstart")]

KEY = bytes(range(1, 33))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def chain(quickstart: Path, workspace: Path) -> dict[str, Path]:
    model = quickstart / "conformer_digits_cards"
    return run_until_optimized(model, quickstart / "data" / "calibration.jsonl", workspace)


@pytest.fixture(scope="module")
def int8(chain: dict[str, Path], workspace: Path) -> Path:
    params = Quantize.Params(precision="int8")
    return run_stage(Quantize(), {"onnx": chain["optimized"]}, workspace, params) / "onnx"


@pytest.fixture(scope="module")
def marked(chain: dict[str, Path], int8: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("marked")
    Watermark().run(
        Watermark.Params(customer="acme"),
        {"original": chain["optimized"], "onnx": int8},
        out,
        Context(secrets={"key": armour(WATERMARK, KEY)}),
    )
    return out / "onnx"


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def test_optimized_graphs_are_smaller_and_compute_the_same(chain):
    found = compare_cases("test", load_cases(chain["cases"]), onnx_run(chain["optimized"]))
    assert all(item.largest < 1e-4 for item in found)
    for name in ("encoder.onnx", "decoder.onnx"):
        before, after = operators(chain["converted"] / name), operators(chain["optimized"] / name)
        assert len(after) < 0.5 * len(before)
        assert not {"Constant", "Identity"} & set(after)


def test_every_matrix_but_the_output_layers_is_int8(int8):
    full = [
        node.input[1]
        for name in ("encoder.onnx", "decoder.onnx")
        for graph in [onnx.load(int8 / name).graph]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in {item.name for item in graph.initializer}
    ]
    assert len(full) == 2
    # 4 blocks of 11 matrices, the subsampling's projection and second convolution; one decoder
    # block of 10.
    assert operators(int8 / "encoder.onnx").count("MatMulInteger") == 46
    assert operators(int8 / "decoder.onnx").count("MatMulInteger") == 10
    # Two layers behind one activation quantize it once.
    assert operators(int8 / "encoder.onnx").count("DynamicQuantizeLinear") < 45


def test_int8_stays_close_to_fp32(chain, int8, marked):
    case = load_cases(chain["cases"])[0]
    expected = case.expected
    valid = np.arange(expected["ctc_log_probs"].shape[1]) < expected["out_lens"][:, None]
    for folder in (int8, marked):
        session = open_session((folder / "encoder.onnx").read_bytes(), "encoder.onnx")
        found = session.run(["ctc_log_probs"], dict(case.feed))[0]
        same = found.argmax(axis=2) == expected["ctc_log_probs"].argmax(axis=2)
        assert same[valid].mean() > 0.99


def test_the_customer_is_found_in_int8_and_a_thousand_others_are_not(chain, int8, marked):
    original, suspect = read_weights(chain["optimized"]), read_weights(marked)
    others = [f"customer-{number:04}" for number in range(1000)]
    scores = detect(original, suspect, KEY, ["acme", *others])
    assert scores[0].customer == "acme"
    assert scores[0].z > ACCUSE_Z
    wrong = np.array([score.z for score in scores[1:]])
    assert wrong.max() < 5
    assert 0.9 < wrong.std() < 1.1
    assert abs(detect(original, suspect, bytes(32), ["acme"])[0].z) < 5
    assert abs(detect(original, read_weights(int8), KEY, ["acme"])[0].z) < 5


def test_a_search_that_was_stopped_goes_on_and_finds_a_smaller_model(
    chain, int8, quickstart, tmp_path
):
    """Than the default, whose output layers are fp32, at the same error."""
    manifest = tmp_path / "few.jsonl"
    lines = (quickstart / "data" / "calibration.jsonl").read_text().splitlines()[:6]
    few = [json.loads(line) for line in lines]
    for item in few:
        item["audio"] = str(quickstart / "data" / item["audio"])
    manifest.write_text("".join(f"{json.dumps(item)}\n" for item in few))
    inputs = {
        "onnx": chain["optimized"],
        "cases": chain["cases"],
        "description": chain["description"],
        "manifest": manifest,
    }
    params = Search.Params(max_increase=0.01, exclude=("ctc.*",))
    seen: list[str] = []

    def stop(done, total, text):
        seen.append(text)
        if len(seen) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Search().run(params, inputs, tmp_path, Context(stop, scratch=tmp_path))
    assert not (tmp_path / "search.json").exists()
    texts: list[str] = []
    context = Context(lambda done, total, text: texts.append(text), scratch=tmp_path)
    Search().run(params, inputs, tmp_path, context)
    measured = [json.loads(line)[0] for line in (tmp_path / "search.jsonl").open()]
    assert len(measured) == len(set(measured))
    found = json.loads((tmp_path / "search.json").read_bytes())
    assert sum(label.startswith("sensitivity/") for label in measured) == len(found["layers"])
    assert found["stopped"] == "met"
    kept = {layer["name"] for layer in found["layers"] if layer["precision"] == "fp32"}
    assert "ctc.ctc_lo.weight" in kept
    assert all(layer["sensitivity"] > 0 for layer in found["layers"])
    out = tmp_path / "quantized"
    out.mkdir()
    Quantize().run(
        Quantize.Params(precision="auto"),
        {"onnx": chain["optimized"], "search": tmp_path / "search.json"},
        out,
        Context(),
    )
    sizes = [
        sum(path.stat().st_size for path in folder.iterdir()) for folder in (out / "onnx", int8)
    ]
    (chosen,) = (item for item in found["candidates"] if item["chosen"])
    assert sizes[0] == chosen["bytes"]
    assert sizes[0] < sizes[1]
