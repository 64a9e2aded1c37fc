"""From somebody else's graph to cases that later steps are held against."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import numpy_helper

from asrpack.bundle.model import ModelDescription
from asrpack.errors import ToolchainError
from asrpack.measure.cases import load_cases, onnx_run
from asrpack.measure.sensitivity import own_tolerance
from asrpack.recipe.model_source import OnnxDetails
from asrpack.stages.expect import Expect
from asrpack.stages.import_onnx import ImportOnnx
from asrpack.stages.optimize import Optimize
from asrpack.stages.probe import Probe
from asrpack.stages.stage import Context, Params
from tests.frontends.onnx_graphs import ctc, save
from tests.frontends.test_onnx_ctc import FBANK

SECONDS = (1.0, 0.5, 0.8)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    path = tmp_path / "set.jsonl"
    with path.open("w") as lines:
        for index, seconds in enumerate(SECONDS):
            noise = generator.integers(-3000, 3000, int(16000 * seconds)).astype(np.int16)
            soundfile.write(tmp_path / f"{index}.wav", noise, 16000)
            lines.write(json.dumps({"audio": f"{index}.wav", "text": "ab"}) + "\n")
    return path


@pytest.fixture
def inputs(tmp_path: Path, manifest: Path) -> dict[str, Path]:
    """Of the ``expect`` stage, for a graph of logits."""
    model = save(ctc(kind="logits", out_lengths=False), tmp_path / "model")
    outs = {name: tmp_path / name for name in ("import", "probe")}
    for out in outs.values():
        out.mkdir()
    params = ImportOnnx.Params(details=OnnxDetails(front_end=FBANK))
    # As an isolated stage gets them.
    params = ImportOnnx.Params.model_validate(json.loads(params.model_dump_json()))
    ImportOnnx().run(params, {"model": model}, outs["import"], Context())
    description = outs["import"] / "model.json"
    given = {"description": description, "manifest": manifest}
    Probe().run(Probe.Params(), given, outs["probe"], Context())
    return {
        "description": description,
        "onnx": outs["import"] / "onnx",
        "probe": outs["probe"] / "probe.npz",
        "model": model,
    }


def expect(inputs: dict[str, Path], out: Path) -> Path:
    out.mkdir()
    Expect().run(Params(), inputs, out, Context())
    return out / "cases.npz"


def test_each_utterance_is_a_case_of_its_own(inputs: dict[str, Path], tmp_path: Path) -> None:
    cases = load_cases(expect(inputs, tmp_path / "expect"))
    frames = sorted(int(1 + (16000 * seconds - 400) // 160) for seconds in SECONDS)
    assert sorted(case.feed["feats"].shape[1] for case in cases) == frames
    assert all(case.feed["feats"].shape[0] == 1 for case in cases)
    about = ModelDescription.read(inputs["description"])
    assert about.family == "onnx_ctc" and about.network["original"] == "model.onnx"
    for case in cases:
        scores = case.expected["ctc_log_probs"]
        np.testing.assert_allclose(np.exp(scores).sum(-1), 1, atol=1e-5)
        assert case.expected["out_lens"].tolist() == [scores.shape[1]]


def test_the_optimized_graph_is_held_against_them(inputs: dict[str, Path], tmp_path: Path) -> None:
    given = {
        "onnx": inputs["onnx"],
        "description": inputs["description"],
        "cases": expect(inputs, tmp_path / "expect"),
    }
    (tmp_path / "optimize").mkdir()
    Optimize().run(Params(), given, tmp_path / "optimize", Context())
    damage(inputs["onnx"] / "encoder.onnx")
    (tmp_path / "again").mkdir()
    with pytest.raises(ToolchainError) as caught:
        Optimize().run(Params(), given, tmp_path / "again", Context())
    assert caught.value.code == "optimize-mismatch"


def test_another_graph_than_the_original_is_found(inputs: dict[str, Path], tmp_path: Path) -> None:
    damage(inputs["onnx"] / "encoder.onnx")
    with pytest.raises(ToolchainError) as caught:
        expect(inputs, tmp_path / "expect")
    assert caught.value.code == "numeric-mismatch"
    assert "ctc_log_probs" in caught.value.message


def test_a_graph_that_enlarges_roundings_is_given_more_room(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    cases = load_cases(expect(inputs, tmp_path / "expect"))
    run = onnx_run(inputs["onnx"])
    assert own_tolerance(cases, run) == pytest.approx(1e-4, rel=0.5)

    def steep(graph: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = run(graph, feed)
        moved = feed["feats"].sum() - next(
            case.feed["feats"].sum()
            for case in cases
            if case.feed["feats"].shape == feed["feats"].shape
        )
        return found | {"ctc_log_probs": found["ctc_log_probs"] + 10 * moved}

    assert own_tolerance(cases, steep) > 1e-3  # type: ignore[arg-type]


def damage(path: Path) -> None:
    graph = onnx.load(path)
    weight = next(item for item in graph.graph.initializer if item.name == "w")
    changed = np.array(numpy_helper.to_array(weight))
    changed[3, 2] += 0.05
    weight.CopyFrom(numpy_helper.from_array(changed, "w"))
    onnx.save(graph, path)
