"""Builds for GPUs on a host that has none: refused, or on the CPU where the recipe says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrpack.bundle.keys import recipient_private
from asrpack.bundle.opening import open_sealed
from asrpack.bundle.provider import TensorrtOptions
from asrpack.report.packages import ONNX_RUNTIME_GPU
from asrpack.runtime.engines.onnxruntime import open_session
from tests.e2e.conftest import RECIPE, Workshop
from tests.e2e.test_service import start

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gpu")]
CPU = "CPUExecutionProvider"
DATA = RECIPE.parent / "data"


def on(target: str, *more: str) -> list[str]:
    """The recipe's build ``fp32`` as one in fp16 for a GPU, without its speed's gate."""
    build = ("precision=fp16", f"target={target}", *more)
    return ["--build=fp32", *(f"--set=builds.fp32.{item}" for item in build)]


def refused(shop: Workshop, verb: str, *more: str) -> list[dict[str, Any]]:
    command = [verb, str(RECIPE), f"--out={shop.out}", "--json", *shop.overrides(), *more]
    done = shop.asrpack(*command, status=4)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["findings"]
    return found


@pytest.mark.parametrize("verb", ["plan", "build"])
@pytest.mark.parametrize("target", ["cuda", "tensorrt"])
def test_without_the_gpu_nothing_runs(workshop: Workshop, verb: str, target: str) -> None:
    (finding,) = refused(workshop, verb, *on(target))
    assert finding["code"] == "provider-missing"
    assert "target" in finding["path"] and "does not work on this host" in finding["message"]
    assert "fallback: cpu" in finding["remedy"]
    assert not (workshop.artifact("fp32") / "bundle").exists()


def test_what_needs_no_gpu_can_be_built(workshop: Workshop) -> None:
    workshop.build(*on("cuda"), "--until=quantize")


@pytest.fixture(scope="module")
def tensorrt(workshop: Workshop) -> Path:
    """The quickstart model for TensorRT, streaming, measured on the CPU."""
    options = "{engine_cache: true, max_workspace_size: 2147483648, profile: {seconds: {max: 12}}}"
    workshop.build(
        *on("tensorrt", "fallback=cpu", f"tensorrt={options}"),
        "--set=streaming={}",
        f"--set=data.test.manifest={DATA}/human.jsonl",
        "--set=gate.error_rate.max=0.2",
    )
    return workshop.artifact("fp32") / "bundle"


def test_where_it_was_measured_is_said(workshop: Workshop, tensorrt: Path) -> None:
    expected = {"target": "tensorrt", "measured_on": CPU}
    assert workshop.read("fp32", "evaluation.json")["provider"] == expected
    words = f"measured on {CPU}, not on tensorrt"
    assert words in (tensorrt / "README.md").read_text()
    shown = workshop.asrpack("inspect", str(tensorrt)).stdout
    assert f"on {CPU}, not on tensorrt" in shown and "tensorrt, may run on the CPU" in shown


def test_the_summary_says_so(workshop: Workshop, tensorrt: Path) -> None:
    done = workshop.build(
        *on("cuda", "fallback=cpu", "cuda.tf32=false"),
        f"--set=data.test.manifest={DATA}/human.jsonl",
        "--set=gate.error_rate.max=0.2",
        f"--out={workshop.folder}/other",
    )
    assert f"measured on {CPU}, not on cuda" in json.loads(done.stdout.splitlines()[-1])["text"]
    bundle = workshop.folder / "other/digits-cards-1.0.0-fp32/bundle"
    provider = json.loads((bundle / "asrpack.json").read_bytes())["provider"]
    assert provider["target"] == "cuda" and provider["options"]["tf32"] is False
    sizes = json.loads((bundle / "evaluation.json").read_bytes())["size"]
    assert sizes["ratio"] < 0.6  # CUDA gets half-precision weights


def test_tensorrt_halves_by_itself(tensorrt: Path) -> None:
    metadata = json.loads((tensorrt / "asrpack.json").read_bytes())
    assert metadata["precision"] == "fp16" and metadata["provider"]["options"]["fp16"] is True
    sizes = json.loads((tensorrt / "evaluation.json").read_bytes())["size"]
    assert sizes["ratio"] == pytest.approx(1, abs=0.01)


def test_the_image_has_the_gpus_packages(tensorrt: Path) -> None:
    wanted = "{}=={}".format(*ONNX_RUNTIME_GPU)
    required = (tensorrt / "requirements.txt").read_text().splitlines()
    assert wanted in required and not any(re.match(r"onnxruntime==", line) for line in required)
    names = {item["name"] for item in _sbom(tensorrt)}
    assert "onnxruntime-gpu" in names and "onnxruntime" not in names
    dockerfile = tensorrt / "Dockerfile"
    text = dockerfile.read_text()
    assert "nvidia/tensorrt" in text and 'CMD ["serve", "/opt/bundle"' in text
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "--gpus all" in (tensorrt / "README.md").read_text()


def _sbom(bundle: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((bundle / "sbom.cdx.json").read_bytes())["components"]
    return found


def test_it_runs_on_the_cpu_and_says_so(workshop: Workshop, tensorrt: Path, tmp_path: Path) -> None:
    keys = [f"--trust={workshop.keys}/vendor.pub", f"--identity={workshop.keys}/acme.key"]
    report = workshop.asrpack("verify", str(tensorrt), *keys, "--selftest", "--json")
    assert json.loads(report.stdout)["provider"] == CPU
    done = workshop.asrpack("run", str(tensorrt), str(DATA / "human/001.wav"), *keys)
    assert done.stdout.rstrip().endswith("ten of clubs")
    warning = "for tensorrt, which does not work on this host"
    assert warning in done.stderr
    for server in start(workshop, tensorrt, tmp_path):
        assert any(warning in line["text"] for line in server.logged(event="warning"))


def test_longer_recordings_than_the_profile_are_cut_to_it(
    workshop: Workshop, tensorrt: Path, tmp_path: Path
) -> None:
    import soundfile

    spoken, rate = soundfile.read(DATA / "human/001.wav", dtype="int16")
    times = 1 + 12 * rate // len(spoken)
    soundfile.write(tmp_path / "long.wav", np.tile(spoken, times), rate)
    keys = [f"--trust={workshop.keys}/vendor.pub", f"--identity={workshop.keys}/acme.key"]
    done = workshop.asrpack("run", str(tensorrt), str(tmp_path / "long.wav"), *keys)
    assert done.stdout.count("ten of clubs") == times


def test_the_graphs_take_every_shape_of_the_profile(workshop: Workshop, tensorrt: Path) -> None:
    """The least, likeliest and greatest shapes are fed to the graphs that ship."""
    identity = recipient_private((workshop.keys / "acme.key").read_bytes(), "acme.key")
    opened = open_sealed(tensorrt, identity, [(workshop.keys / "vendor.pub").read_bytes()])
    assert opened.metadata.provider is not None
    options = opened.metadata.provider.options
    assert isinstance(options, TensorrtOptions) and set(options.profiles) == {"encoder", "decoder"}
    for graph, inputs in options.profiles.items():
        session = open_session(opened.files[f"{graph}.onnx"], f"{graph}.onnx", 1)
        types = {item.name: item.type for item in session.get_inputs()}
        assert set(inputs) == set(types)
        for bound in ("min", "opt", "max"):
            shapes = {name: getattr(found, bound) for name, found in inputs.items()}
            outputs = session.run(None, _feed(shapes, types))
            assert all(np.isfinite(item).all() for item in outputs), (graph, bound)
            rows = shapes["feats" if graph == "encoder" else "hyps_in"][0]
            assert outputs[0].shape[0] == rows


def _feed(shapes: dict[str, tuple[int, ...]], types: dict[str, str]) -> dict[str, Any]:
    """Random numbers, and all lengths those of the shapes."""
    lengths = {
        "feat_lens": ("feats", 1),
        "cache_lens": ("att_cache", 3),
    }
    feed: dict[str, Any] = {}
    for name, shape in shapes.items():
        if types[name] == "tensor(float)":
            feed[name] = np.random.default_rng(0).standard_normal(shape, np.float32)
        elif name in lengths:
            of, axis = lengths[name]
            feed[name] = np.full(shape, shapes[of][axis], np.int64)
        else:
            feed[name] = np.ones(shape, np.int64)
    return feed
