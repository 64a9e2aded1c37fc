"""Smoothing and calibrating the quickstart model on a few recordings, with every observer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from asrpack.bundle.keys import WATERMARK, armour
from asrpack.bundle.model import ModelDescription
from asrpack.errors import InputError
from asrpack.graph.quantization.operators import activations, operator_kinds
from asrpack.measure.cases import compare_cases, load_cases, onnx_run
from asrpack.measure.error_rate import count_edits, total
from asrpack.measure.evaluation import load_recognizer, read_samples, transcribe_all
from asrpack.protect.detection import ACCUSE_Z, detect
from asrpack.stages.calibrate import Calibrate
from asrpack.stages.import_ import Import
from asrpack.stages.quantize import Quantize
from asrpack.stages.smooth import Smooth
from asrpack.stages.stage import Context
from asrpack.stages.watermark import Watermark, read_weights
from benchmarks.stage_chain import run_stage, run_until_optimized

pytestmark = pytest.mark.slow
KEY = bytes(range(32))
OBSERVERS = ["minmax", "entropy", "percentile", "hist", "kl", "mse", "avg", "emd"]


def some(quickstart: Path, name: str, count: int, path: Path) -> Path:
    """A manifest of the first recordings of another."""
    lines = (quickstart / "data" / name).read_text().splitlines()[:count]
    records = [json.loads(line) for line in lines]
    for record in records:
        record["audio"] = str(quickstart / "data" / record["audio"])
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def files(quickstart: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model with streaming, optimized, and five recordings to calibrate on."""
    folder = tmp_path_factory.mktemp("quickstart")
    manifest = some(quickstart, "calibration.jsonl", 5, folder / "calibration.jsonl")
    model = quickstart / "conformer_digits_cards"
    files = run_until_optimized(model, manifest, folder, Import.Params(streaming=True))
    return {
        "onnx": files["optimized"],
        "description": files["description"],
        "cases": files["cases"],
        "params": folder / "import/out/params.npz",
        "manifest": manifest,
    }


def calibrate(files: dict[str, Path], folder: Path, **params: object) -> Path:
    out = run_stage(Calibrate(), files, folder, Calibrate.Params(**params))
    return out / "calibration.json"


def quantize(files: dict[str, Path], calibration: Path, folder: Path, **params: object) -> Path:
    given = {"onnx": files["onnx"], "calibration": calibration}
    return run_stage(Quantize(), given, folder, Quantize.Params(method="static", **params)) / "onnx"


def errors(files: dict[str, Path], graphs: Path, manifest: Path) -> float:
    """CER of rescored text, which goes through encoder and decoder."""
    recognizer = load_recognizer(ModelDescription.read(files["description"]), graphs)
    samples = read_samples(recognizer, manifest)
    texts = transcribe_all(recognizer, samples, ["attention_rescoring"], lambda done: None)
    return total(
        [count_edits(s.text, texts[s.utt]["attention_rescoring"], "cer") for s in samples]
    ).rate


@pytest.mark.parametrize("observer", OBSERVERS)
def test_text_stays_near_fp32(files, quickstart, tmp_path, observer):
    calibration = calibrate(files, tmp_path, observer=observer)
    record = json.loads(calibration.read_bytes())
    assert record["set"]["utterances"] == 5 and len(record["set"]["sha256"]) == 64
    for graph, ranges in record["ranges"].items():
        model = onnx.load(files["onnx"] / f"{graph}.onnx")
        kinds = operator_kinds(model)
        layers = {name for name, kind in kinds.items() if kind != "attention"}
        assert set(ranges) == set(activations(model, layers))
        assert all(lowest < highest for lowest, highest in ranges.values())
    folder = quantize(files, calibration, tmp_path)
    human = some(quickstart, "test.jsonl", 20, tmp_path / "test.jsonl")
    assert errors(files, folder, human) <= errors(files, files["onnx"], human) + 0.01
    sizes = [
        sum(path.stat().st_size for path in item.iterdir()) for item in (folder, files["onnx"])
    ]
    assert sizes[0] < 0.45 * sizes[1]


def test_observers_differ_and_the_same_run_gives_the_same_bytes(files, tmp_path):
    texts = {}
    for name, observer in (("a", "minmax"), ("b", "minmax"), ("c", "percentile"), ("d", "hist")):
        texts[name] = calibrate(files, tmp_path / name, observer=observer).read_bytes()
    assert texts["a"] == texts["b"]
    assert len({texts["a"], texts["c"], texts["d"]}) == 3


def test_the_chunks_of_the_recipe_are_seen(files, tmp_path):
    ranges = {}
    for name, changed in (("chunks of 4", {"chunk_size": 4, "left_chunks": 0}), ("as it is", {})):
        description = json.loads(files["description"].read_bytes())
        description["streaming"] |= changed
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(description))
        given = {**files, "description": path}
        record = json.loads(calibrate(given, tmp_path / name, observer="minmax").read_bytes())
        ranges[name] = record["ranges"]["encoder"]
    assert ranges["chunks of 4"] != ranges["as it is"]


def test_smoothed_static_and_marked(files, quickstart, tmp_path):
    """Smoothing keeps the function; PaddleSlim's observers see the smoothed network."""
    out = run_stage(Smooth(), files, tmp_path, Smooth.Params(alpha=0.5))
    compare_cases("smooth", load_cases(files["cases"]), onnx_run(out / "onnx"))
    smoothed = {**files, "onnx": out / "onnx", "factors": out / "factors.npz"}
    ranges = {
        observer: json.loads(
            calibrate(smoothed, tmp_path / observer, observer=observer).read_bytes()
        )["ranges"]["encoder"]
        for observer in ("minmax", "avg")
    }
    widest = {name: np.abs(pair).max() for name, pair in ranges["minmax"].items()}
    for name, (lowest, highest) in ranges["avg"].items():
        assert max(-lowest, highest) <= widest[name] * 1.0001
        assert max(-lowest, highest) > 0.2 * widest[name]
    folder = quantize(smoothed, tmp_path / "avg/calibrate/out/calibration.json", tmp_path)
    Watermark().run(
        Watermark.Params(customer="acme"),
        {"original": out / "onnx", "onnx": folder},
        tmp_path,
        Context(secrets={"key": armour(WATERMARK, KEY)}),
    )
    original, marked = read_weights(out / "onnx"), read_weights(tmp_path / "onnx")
    scores = {score.customer: score.z for score in detect(original, marked, KEY, ["acme", "bolt"])}
    assert scores["acme"] > ACCUSE_Z and abs(scores["bolt"]) < 5
    test = some(quickstart, "test.jsonl", 20, tmp_path / "test.jsonl")
    assert errors(files, tmp_path / "onnx", test) <= errors(files, files["onnx"], test) + 0.01


def test_recordings_without_a_frame_are_refused(files, tmp_path):
    import soundfile

    soundfile.write(tmp_path / "short.wav", np.zeros(200), 16000)
    manifest = tmp_path / "short.jsonl"
    manifest.write_text('{"audio": "short.wav", "text": "one"}\n')
    with pytest.raises(InputError) as caught:
        calibrate({**files, "manifest": manifest}, tmp_path, observer="minmax")
    assert caught.value.code == "calibration-short"
