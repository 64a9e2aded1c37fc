"""A build in int4: it is marked, verifies and transcribes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrpack.bundle.keys import recipient_private, watermark_key
from asrpack.bundle.opening import open_sealed
from asrpack.protect.detection import ACCUSE_Z, detect
from asrpack.stages.watermark import read_weights
from tests.e2e.conftest import RECIPE, Workshop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]


@pytest.fixture(scope="module")
def artifact(workshop: Workshop) -> Path:
    workshop.build("--build=cpu", "--set=builds.cpu.precision=int4", "--set=version=int4")
    return workshop.out / "digits-cards-int4-cpu"


def test_it_is_small_and_still_right(artifact: Path) -> None:
    evaluation = json.loads((artifact / "evaluation.json").read_bytes())
    assert evaluation["size"]["ratio"] < 0.32
    assert evaluation["methods"]["attention_rescoring"]["cer"]["candidate"]["rate"] < 0.02
    assert json.loads((artifact / "kept_fp32.json").read_bytes()) == []


def test_it_verifies_and_transcribes(workshop: Workshop, artifact: Path) -> None:
    bundle, trust = str(artifact / "bundle"), ["--trust", str(workshop.keys / "vendor.pub")]
    identity = ["--identity", str(workshop.keys / "acme.key")]
    done = workshop.asrpack("verify", bundle, *trust, "--selftest", *identity, "--json")
    assert json.loads(done.stdout)["ok"]
    recording = str(RECIPE.parent / "data/human/001.wav")
    done = workshop.asrpack("run", bundle, recording, *trust, *identity, "--json")
    assert json.loads(done.stdout)["text"] == "ten of clubs"


def test_its_mark_names_the_customer(workshop: Workshop, artifact: Path, tmp_path: Path) -> None:
    lock = json.loads((artifact / "asrpack.lock").read_bytes())
    optimized, *_ = (
        path.parent / "out/onnx"
        for path in (workshop.cache / "v1" / "optimize").glob("*/entry.json")
        if json.loads(path.read_bytes())["outputs"] == lock["stages"]["optimize"]["outputs"]
    )
    identity = recipient_private((workshop.keys / "acme.key").read_bytes(), "acme")
    trusted = [(workshop.keys / "vendor.pub").read_bytes()]
    opened = open_sealed(artifact / "bundle", identity, trusted)
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).write_bytes(opened.files[name].view)
    key = watermark_key((workshop.keys / "vendor.mark").read_bytes(), "vendor")
    wrong = [f"customer-{number}" for number in range(100)]
    scores = detect(read_weights(optimized), read_weights(tmp_path), key, ["acme", *wrong])
    assert scores[0].customer == "acme" and scores[0].z > 10 * ACCUSE_Z
    assert scores[1].z < 5
