"""``evaluate`` measures streams where the model has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrpack.bundle.model import ModelDescription
from asrpack.runtime.audio import read_audio
from asrpack.runtime.recognizer import Recognizer
from asrpack.runtime.streaming import StreamingRecognizer
from asrpack.stages.evaluate import Evaluate
from asrpack.stages.stage import Context
from tests.runtime import tiny

METHODS = ("ctc_greedy_search", "attention_rescoring")


def evaluate(description: ModelDescription, graphs: dict[str, bytes], folder: Path) -> dict:
    pytest.importorskip("jiwer")
    for name, graph in graphs.items():
        (folder / "onnx").mkdir(exist_ok=True)
        (folder / "onnx" / name).write_bytes(graph)
    (folder / "model.json").write_text(description.to_json())
    rows = []
    for index in range(3):
        noise = np.random.default_rng(index).normal(0, 3000, 16000 + 4000 * index)
        soundfile.write(folder / f"{index}.wav", noise.astype(np.int16), 16000)
        rows.append(json.dumps({"audio": f"{index}.wav", "text": "a b ab"}))
    (folder / "test.jsonl").write_text("\n".join(rows))
    inputs = {
        "description": folder / "model.json",
        "baseline": folder / "onnx",
        "candidate": folder / "onnx",
        "manifest": folder / "test.jsonl",
    }
    (folder / "out").mkdir()
    Evaluate().run(Evaluate.Params(methods=METHODS, threads=1), inputs, folder / "out", Context())
    return json.loads((folder / "out" / "evaluation.json").read_bytes())


def test_streams_are_measured_against_whole_recordings(tmp_path: Path) -> None:
    description, graphs = tiny.describe_streaming(), tiny.streaming_graphs()
    found = evaluate(description, graphs, tmp_path)
    streams = StreamingRecognizer(Recognizer(description, graphs, threads=1))
    for entry, index in zip(found["utterances"], range(3), strict=True):
        samples = read_audio(tmp_path / f"{index}.wav", 16000)
        for method in METHODS:
            stream = streams.stream(method)
            stream.accept(samples)
            assert entry["streaming"][method] == stream.finish().text
    for method in METHODS:
        streaming = found["methods"][method]["streaming"]
        assert streaming["changed"] == sum(
            entry["streaming"][method] != entry["candidate"][method]
            for entry in found["utterances"]
        )
        whole = found["methods"][method]["cer"]["candidate"]
        assert streaming["cer"]["whole"] == whole
        assert streaming["cer"]["increase"] == pytest.approx(
            streaming["cer"]["streaming"]["rate"] - whole["rate"]
        )
    assert found["methods"]["ctc_greedy_search"]["streaming"]["changed"] > 0


def test_a_model_that_does_not_stream_is_measured_on_whole_recordings(tmp_path: Path) -> None:
    found = evaluate(tiny.describe(), tiny.graphs(), tmp_path)
    assert "streaming" not in found["methods"]["ctc_greedy_search"]
    assert "streaming" not in found["utterances"][0]
