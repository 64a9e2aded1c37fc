"""The benchmark against other systems: all of them run the same weights, and say the same."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import onnx
import pytest

from asrpack.bundle.model import ModelDescription
from asrpack.measure.error_rate import count_edits, total
from benchmarks.rival_models import build
from benchmarks.rival_systems import SYSTEMS, Layout, asrpack, sherpa_onnx
from benchmarks.rivals import OURS, compare, table, write_audio

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rivals")]


@pytest.fixture(scope="module")
def layout(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("rivals"))
    shutil.copytree(quickstart / "conformer_digits_cards", layout.paddlespeech)
    build(layout, quickstart / "data" / "calibration.jsonl")
    return layout


def texts(system, audio):
    return [system.transcribe(system.prepare(path)) for path in audio]


@pytest.mark.parametrize("name", ["exported", "optimized"])
def test_sherpa_onnx_says_what_asrpack_says(layout, name, tmp_path):
    audio = write_audio(tmp_path)
    ours = texts(asrpack(layout, "fp32", 1), audio)
    assert all(ours)
    theirs = texts(sherpa_onnx(layout, name, 1), audio)
    # Their features differ in the last bits, and near ties may fall the other way.
    edits = total([count_edits(*pair, "cer") for pair in zip(ours, theirs, strict=True)])
    assert edits.rate < 0.01


@pytest.mark.parametrize("name", ["exported", "optimized.int8"])
def test_a_graph_for_sherpa_onnx_has_wenets_interface(layout, name):
    model = onnx.load(layout.sherpa_model(name))
    onnx.checker.check_model(model)
    description = ModelDescription.read(layout.description)
    assert [value.name for value in model.graph.input] == ["x", "x_lens"]
    assert [value.name for value in model.graph.output] == ["log_probs", "log_probs_lens"]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["model_type"] == "wenet_ctc"
    assert metadata["vocab_size"] == str(len(description.tokens))
    assert metadata["subsampling_factor"] == "4"


def test_int8_is_of_matrix_products_with_constant_weights(layout):
    def operators(name):
        return Counter(node.op_type for node in onnx.load(layout.sherpa_model(name)).graph.node)

    # Two pointwise convolutions in each of four blocks: products only where asrpack made them so.
    exported, optimized = operators("exported.int8"), operators("optimized.int8")
    assert optimized["MatMulInteger"] == exported["MatMulInteger"] + 8
    assert exported["Conv"] == optimized["Conv"] + 8
    assert exported["ConvInteger"] == 0


@pytest.mark.oracle
def test_every_system_is_compared_with_ours(layout):
    report = compare(layout, tuple(SYSTEMS), rounds=1, threads=1)
    systems = report["systems"]
    assert list(systems) == list(SYSTEMS)
    assert systems[OURS]["ratio"] == {"median": 1.0, "least": 1.0, "greatest": 1.0}
    for name, row in systems.items():
        assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_bytes"] > 1 << 25
        if "int8" not in name:
            assert row["agreement"]["equal"] == row["agreement"]["utterances"] == 5, name
    assert all(f"\n| {name} |" in table(report) for name in SYSTEMS)
