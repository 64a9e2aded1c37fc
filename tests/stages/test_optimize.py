from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_ir.passes import InPlacePass, PassResult

from asrpack.errors import ToolchainError
from asrpack.graph import passes
from asrpack.measure.cases import load_cases, save_cases
from asrpack.stages.optimize import Optimize
from asrpack.stages.stage import Context
from tests.stages.onnx_model import write_model


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return write_model(tmp_path / "model")


def optimize(inputs: dict[str, Path], out: Path) -> Path:
    out.mkdir()
    Optimize().run(Optimize.Params(), inputs, out, Context())
    return out / "onnx"


def test_both_graphs_are_optimized_and_say_what_they_are(inputs, tmp_path):
    folder = optimize(inputs, tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == ["decoder.onnx", "encoder.onnx"]
    encoder = onnx.load(folder / "encoder.onnx")
    onnx.checker.check_model(encoder, full_check=True)
    assert {item.key: item.value for item in encoder.metadata_props} == {
        "asrpack.family": "paddlespeech_u2",
        "asrpack.graph": "encoder",
    }
    kinds = [node.op_type for node in encoder.graph.node]
    assert kinds.count("MatMul") == 3 and "Conv" not in kinds and "Constant" not in kinds
    weights = {item.name for item in encoder.graph.initializer}
    assert {"hidden.w", "pointwise.w", "ctc.w"} <= weights
    assert b"/home/builder" not in (folder / "encoder.onnx").read_bytes()


def test_names_of_inputs_and_outputs_stay(inputs, tmp_path):
    folder = optimize(inputs, tmp_path / "out")
    for name in ("encoder.onnx", "decoder.onnx"):
        before, after = (onnx.load(place / name).graph for place in (inputs["onnx"], folder))
        assert list(after.input) == list(before.input)
        assert list(after.output) == list(before.output)


def test_the_same_input_gives_the_same_bytes(inputs, tmp_path):
    digests = [
        [
            hashlib.sha256(path.read_bytes()).digest()
            for path in sorted(optimize(inputs, tmp_path / name).iterdir())
        ]
        for name in ("a", "b")
    ]
    assert digests[0] == digests[1]


def test_a_pass_that_changes_numbers_is_found(inputs, tmp_path, monkeypatch):
    class Double(InPlacePass):
        def call(self, model):
            for value in model.graph.initializers.values():
                if value.name == "mix.w":
                    array = 2 * value.const_value.numpy()
                    value.const_value = passes.ir.tensor(array)
            return PassResult(model, modified=True)

    standard = passes.standard_passes

    def with_fault(graph_name):
        before = standard(graph_name)
        return (*before[:3], passes.NamedPass("double", Double()), *before[3:])

    monkeypatch.setattr(passes, "standard_passes", with_fault)
    with pytest.raises(ToolchainError) as caught:
        optimize(inputs, tmp_path / "out")
    assert caught.value.code == "optimize-mismatch"
    assert "after the pass 'double'" in caught.value.message
    assert "decoder_log_probs" in caught.value.message


def test_graphs_that_were_wrong_before_any_pass_are_told_apart(inputs, tmp_path):
    cases = load_cases(inputs["cases"])
    cases[0].expected["encoder_out"][0, 0, 0] += 0.01
    save_cases(inputs["cases"], cases)
    with pytest.raises(ToolchainError) as caught:
        optimize(inputs, tmp_path / "out")
    assert "before any pass" in caught.value.message
    assert "encoder_out" in caught.value.message


def test_what_lies_past_an_utterances_end_does_not_matter(inputs, tmp_path):
    cases = load_cases(inputs["cases"])
    cases[0].expected["ctc_log_probs"][2, 2:] = 1e6
    save_cases(inputs["cases"], cases)
    optimize(inputs, tmp_path / "out")


def test_weights_are_carried_over_to_the_last_bit(inputs, tmp_path):
    folder = optimize(inputs, tmp_path / "out")
    stored = {
        item.name: numpy_helper.to_array(item)
        for item in onnx.load(folder / "encoder.onnx").graph.initializer
    }
    for item in onnx.load(inputs["onnx"] / "encoder.onnx").graph.node:
        if item.op_type == "Constant" and item.output[0] == "pointwise.w":
            original = numpy_helper.to_array(item.attribute[0].t)
            np.testing.assert_array_equal(stored["pointwise.w"], original[:, :, 0].T)
