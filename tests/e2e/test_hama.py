"""A real model that was trained elsewhere: the int8 that holds its error rate, and the one not."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest

from tests.e2e.conftest import RECIPE, Workshop, make_workshop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("e2e"),
    pytest.mark.skipif(
        importlib.util.find_spec("hama") is None, reason="the extra `recipes` is not installed"
    ),
]
RECIPES = RECIPE.parents[1]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Keys, and a copy of the recipe whose model was taken out of the package."""
    folder = tmp_path_factory.mktemp("hama")
    ignored = shutil.ignore_patterns("model", "keys")
    shutil.copytree(RECIPES / "hama", folder / "hama", ignore=ignored)
    shutil.copytree(RECIPES / "quickstart/data/human", folder / "quickstart/data/human")
    subprocess.run([sys.executable, str(folder / "hama/prepare.py")], check=True)
    return make_workshop(folder, folder / "cache")


def build(shop: Workshop, *more: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    recipe = shop.folder / "hama" / "recipe.yaml"
    keys = [
        f"--set=protect.encrypt.recipients.0.file={shop.keys}/acme.pub",
        f"--set=protect.sign.key.file={shop.keys}/vendor.pem",
    ]
    arguments = ["build", str(recipe), "--json", "--build=cpu", f"--out={shop.out}", *keys, *more]
    return shop.asrpack(*arguments, status=status)


def test_the_recipe_s_int8_keeps_the_phoneme_error_rate(shop: Workshop) -> None:
    build(shop)
    artifact = shop.out / "hama-phonemes-1.3.13-cpu"
    evaluation = json.loads((artifact / "evaluation.json").read_bytes())
    rates = evaluation["methods"]["ctc_greedy_search"]["wer"]
    assert evaluation["set"]["utterances"] == 10
    assert rates["baseline"]["rate"] == pytest.approx(0.0836, abs=0.002)
    assert rates["increase"] <= 0.01
    assert evaluation["size"]["ratio"] < 0.45
    recording = shop.folder / "quickstart/data/human/003.wav"
    done = shop.asrpack(
        "run", str(artifact / "bundle"), str(recording), "--json",
        "--identity", str(shop.keys / "acme.key"), "--trust", str(shop.keys / "vendor.pub"),
    )  # fmt: skip
    assert json.loads(done.stdout)["text"].startswith("s ɛ v ə n ɔ f k l")


def test_int8_of_everything_is_rejected_with_the_figures(shop: Workshop) -> None:
    done = build(shop, "--set=builds.cpu.quantize={operators: [matmul, output]}", status=5)
    rejected = shop.out / "hama-phonemes-1.3.13-cpu" / "rejected"
    gate = json.loads((rejected / "gate.json").read_bytes())
    increase = next(item for item in gate["checks"] if item["name"] == "wer increase")
    assert not increase["ok"] and increase["measured"] > 0.5
    assert increase["reason"] in done.stderr + done.stdout
    assert increase["reason"][1:] in (rejected / "report.html").read_text(encoding="utf-8")
    assert (rejected / "onnx" / "encoder.onnx").is_file()
    assert not (shop.out / "hama-phonemes-1.3.13-cpu" / "bundle").exists()
