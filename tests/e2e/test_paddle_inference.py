"""The quickstart model for Paddle Inference, really built, and run where there is nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asrpack.bundle.keys import recipient_private, watermark_key
from asrpack.bundle.opening import open_sealed
from asrpack.protect.detection import ACCUSE_Z, detect
from asrpack.report.packages import runtime_packages
from asrpack.stages.watermark import read_weights
from tests.e2e.conftest import METHODS, RECIPE, Workshop
from tests.e2e.test_bundle import call, environment_with
from tests.e2e.test_paddle_source import recipe

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]
RECORDING = RECIPE.parent / "data" / "human" / "001.wav"
ASKED = (
    "--build=cpu",
    "--set=builds.cpu={target: paddle_inference, precision: int8}",
    f"--set=data.test.manifest={RECIPE.parent}/data/human.jsonl",
    f"--set=evaluate.methods=[{', '.join(METHODS)}]",
    "--set=streaming={}",
)


@pytest.fixture(scope="module")
def shop(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The bundle, beside the session's own, with its keys and cache."""
    folder = tmp_path_factory.mktemp("paddle-inference")
    shop = Workshop(folder, workshop.cache)
    shutil.copytree(workshop.keys, shop.keys)
    shop.build(*ASKED)
    return shop


@pytest.fixture(scope="module")
def bundle(shop: Workshop) -> Path:
    return shop.artifact("cpu") / "bundle"


def test_the_file_that_ships_was_measured_on_the_engine_that_runs_it(shop: Workshop) -> None:
    found = shop.read("cpu", "evaluation.json")
    assert found["targets"] == {"baseline": "onnxruntime", "candidate": "paddle_inference"}
    assert set(found["size"]["candidate"]) == {
        f"{name}{suffix}" for name in ("encoder", "decoder") for suffix in (".json", ".pdiparams")
    }
    assert found["size"]["ratio"] < 0.45
    assert set(found["methods"]) == set(METHODS)
    for method in ("ctc_greedy_search", "ctc_prefix_beam_search", "attention_rescoring"):
        assert found["methods"][method]["changed"] == 0
        assert found["methods"][method]["streaming"]["emptied"] == []


def test_it_runs_with_its_own_requirements_alone(
    bundle: Path, shop: Workshop, tmp_path: Path
) -> None:
    python = environment_with(tmp_path / "venv", runtime_packages("paddle_inference"))
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    keys = ("--identity", str(shop.keys / "acme.key"), "--trust", str(shop.keys / "vendor.pub"))
    done = call(
        python, copy, "-m", "asrpack.runtime", "run", str(copy), str(RECORDING), "--json", *keys
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "ten of clubs"
    streamed = call(
        python,
        copy,
        "-m",
        "asrpack.runtime",
        "run",
        str(copy),
        str(RECORDING),
        "--streaming",
        *keys,
    )
    assert streamed.stdout.endswith("ten of clubs\n"), streamed.stderr
    done = call(python, copy, "-m", "asrpack.runtime", "selftest", str(copy), *keys)
    assert done.returncode == 0, done.stderr


def test_verify_and_inspect_follow_the_target(bundle: Path, shop: Workshop) -> None:
    keys = (f"--trust={shop.keys}/vendor.pub", f"--identity={shop.keys}/acme.key")
    assert "selftest: ran" in shop.asrpack("verify", str(bundle), "--selftest", *keys).stdout
    assert "runs on     paddle_inference, int8" in shop.asrpack("inspect", str(bundle)).stdout


def test_the_mark_is_found_in_the_bundles_own_files(
    bundle: Path, shop: Workshop, tmp_path: Path
) -> None:
    identity = recipient_private((shop.keys / "acme.key").read_bytes(), "acme.key")
    for name, data in open_sealed(bundle, identity).files.items():
        (tmp_path / name).write_bytes(data.view)
    key = watermark_key((shop.keys / "vendor.mark").read_bytes(), "vendor.mark")
    original = read_weights(shop.artifact("cpu") / "paddle")
    found = {
        s.customer: s.z for s in detect(original, read_weights(tmp_path), key, ["acme", "bolt"])
    }
    assert found["acme"] > 10 * ACCUSE_Z and abs(found["bolt"]) < 5


def test_the_export_builds_again(shop: Workshop) -> None:
    """With ``source: paddle``, to the same text."""
    again = recipe(shop, "again", f"{{source: paddle, path: {shop.artifact('cpu') / 'paddle'}}}")
    out = shop.folder / "again"
    shop.execute([*shop.build_command(*ASKED[:2], recipe=again), f"--out={out}"])
    second = json.loads((out / "digits-cards-1.0.0-cpu" / "evaluation.json").read_bytes())
    texts = [
        {item["utt"]: item["candidate"]["attention_rescoring"] for item in found["utterances"]}
        for found in (shop.read("cpu", "evaluation.json"), second)
    ]
    assert len(texts[0]) == 5 and texts[0] == texts[1]


def test_a_rejected_candidate_is_kept(shop: Workshop) -> None:
    done = shop.build(*ASKED, "--set=gate.size={max_ratio: 0.01}", status=5)
    assert "Traceback" not in done.stderr
    kept = shop.artifact("cpu") / "rejected" / "paddle"
    assert (kept / "encoder.pdiparams").stat().st_size > 0
