"""Peak memory and cold start, of processes that really run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import numpy_helper

from asrpack.errors import ToolchainError
from asrpack.measure.footprint import ROUNDS, Job, measure_footprints, measure_once
from tests.runtime import tiny

BALLAST = 64 << 20  # bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's to tell")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "onnx").mkdir()
    for name, graph in tiny.graphs().items():
        (tmp_path / "onnx" / name).write_bytes(graph)
    (tmp_path / "model.json").write_text(tiny.describe().to_json())
    noise = np.random.default_rng(0).normal(0, 3000, 16000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", noise, 16000)
    recordings = (tmp_path / "a.wav", tmp_path / "a.wav")
    description, graphs = tmp_path / "model.json", tmp_path / "onnx"
    return Job(description, graphs, recordings, "attention_rescoring", threads=1)


def heavier(job: Job, folder: Path) -> Job:
    """The same model with weights that do nothing but weigh."""
    folder.mkdir()
    for path in job.graphs.iterdir():
        graph = onnx.load(path)
        if path.name == "encoder.onnx":
            weights = np.random.default_rng(0).random(BALLAST // 4, np.float32)
            graph.graph.initializer.append(numpy_helper.from_array(weights, "ballast"))
        onnx.save(graph, folder / path.name)
    return replace(job, graphs=folder)


def test_a_bigger_model_takes_more(job: Job, tmp_path: Path) -> None:
    found = measure_footprints({"small": job, "big": heavier(job, tmp_path / "big")})
    small, big = found["memory"]["small"], found["memory"]["big"]
    assert big["loading"]["model"] > small["loading"]["model"] + BALLAST
    assert big["peak"] > small["peak"] + BALLAST
    # Without a model both are the same interpreter and runtime.
    assert big["runtime"] == pytest.approx(small["runtime"], rel=0.05)
    for item in (small, big):
        assert item["peak"] == max(item[phase]["peak"] for phase in ("loading", "running"))
        assert item["loading"]["peak"] == item["runtime"] + item["loading"]["model"]
    for start in (found["cold_start"]["small"], found["cold_start"]["big"]):
        assert 0 < start["range"][0] <= start["seconds"] <= start["range"][1]
    assert found["memory"]["rounds"] == ROUNDS


def test_what_this_process_holds_is_not_counted(job: Job) -> None:
    before = measure_once(job)
    held = np.ones(BALLAST // 2, np.float32)
    assert measure_once(job).loading == pytest.approx(before.loading, rel=0.2)
    assert held.nbytes > before.loading


def test_a_process_that_dies_is_an_error(job: Job, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ToolchainError, match=r"died: .*encoder\.onnx") as caught:
        measure_once(replace(job, graphs=tmp_path / "empty"))
    assert caught.value.code == "footprint-died" and caught.value.remedy


def test_a_peak_is_what_was_reached_and_can_be_forgotten() -> None:
    code = f"""
import mmap
from asrpack.runtime.memory import forget_peak, peak_bytes
before = peak_bytes()
held = mmap.mmap(-1, {BALLAST})
held.write(b"x" * {BALLAST // 64} * 64)
held.close()
reached = peak_bytes()
forget_peak()
print(reached - before, reached - peak_bytes())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    reached, forgotten = map(int, done.stdout.split())
    assert reached >= BALLAST and forgotten >= BALLAST // 2
