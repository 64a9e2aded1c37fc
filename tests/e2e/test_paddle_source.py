"""Files of Paddle Inference as a source: asrpack's own again, and programs of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from asrpack.cli import main
from tests.e2e.conftest import RECIPE, Workshop, make_workshop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("e2e")]
TOKENS = ["<blank>", "a", "b", "c", "d", "e"]
EXPORT = """
import os, sys
os.environ["FLAGS_enable_pir_api"] = sys.argv[2]
import paddle
from paddle.static import InputSpec
from tests.e2e.paddle_layer import Ctc
paddle.seed(0)
specs = [InputSpec([None, None, 80], "float32", "x"), InputSpec([None], "int64", "n")]
traced = paddle.jit.to_static(Ctc(), input_spec=specs, full_graph=True)
paddle.jit.save(traced, sys.argv[1])
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("paddle")
    return make_workshop(folder, folder / "cache")


def recipe(shop: Workshop, name: str, model: str) -> Path:
    text = RECIPE.read_text(encoding="utf-8")
    head, _, rest = text.partition("model:\n")
    _, _, rest = rest.partition("\ndata:")
    data = str(RECIPE.parent / "data")
    rest = rest.replace("manifest: data/all.jsonl", f"manifest: {data}/human.jsonl")
    rest = rest.replace("manifest: data/", f"manifest: {data}/")
    path = shop.folder / f"{name}.yaml"
    path.write_text(f"{head}model: {model}\ndata:{rest}", encoding="utf-8")
    return path


def test_asrpack_s_own_export_round_trips(shop: Workshop) -> None:
    test = f"--set=data.test.manifest={RECIPE.parent}/data/human.jsonl"
    shop.build("--build=fp32", test)
    artifact = shop.artifact("fp32")
    first = json.loads((artifact / "evaluation.json").read_bytes())
    again = recipe(shop, "again", f"{{source: paddle, path: {artifact / 'paddle'}}}")
    shop.execute(
        [*shop.build_command("--build=fp32", recipe=again), f"--out={shop.folder / 'again'}"]
    )
    second = shop.folder / "again" / "digits-cards-1.0.0-fp32" / "evaluation.json"
    texts = [
        [item["candidate"] for item in evaluation["utterances"]]
        for evaluation in (first, json.loads(second.read_bytes()))
    ]
    assert texts[0] == texts[1] and any(text["attention_rescoring"] for text in texts[0])


@pytest.mark.parametrize("pir", ["0", "1"], ids=["old", "new"])
def test_a_program_of_another_s(
    shop: Workshop, pir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shop.folder / f"program{pir}"
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-c", EXPORT, str(folder / "inference"), pir],
        check=True,
        cwd=Path(__file__).parents[2],
        capture_output=True,
    )
    suffix = {"0": ".pdmodel", "1": ".json"}[pir]
    assert (folder / f"inference{suffix}").is_file()
    (folder / "units.txt").write_text("\n".join(TOKENS) + "\n")
    front_end = "front_end: {fbank: {num_mel_bins: 80}}, scores: probabilities"
    made = recipe(shop, f"program{pir}", f"{{source: paddle, path: {folder}, {front_end}}}")
    monkeypatch.setenv("ASRPACK_CACHE", str(shop.cache))
    arguments = [*shop.overrides(), "--build=fp32", f"--out={shop.out}", "--until=optimize"]
    assert main(["build", str(made), *arguments]) == 0, capsys.readouterr().err
    entries = list((shop.cache / "v1" / "expect").glob("*/out/cases.npz"))
    cases = np.load(max(entries, key=lambda item: item.stat().st_mtime))
    scores = cases["0/expected/ctc_log_probs"]
    assert scores.shape[2] == len(TOKENS)
    np.testing.assert_allclose(np.exp(scores).sum(-1), 1, atol=1e-4)
