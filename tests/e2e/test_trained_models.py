"""A trained model of each family, really built: its text is PaddleSpeech's, whole and streamed."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.conftest import RECIPE, Workshop

pytestmark = [pytest.mark.oracle, pytest.mark.slow, pytest.mark.xdist_group("trained")]
MODELS = RECIPE.parents[1] / "models"
DATA = RECIPE.parent / "data"
U2_METHODS = ["ctc_greedy_search", "ctc_prefix_beam_search", "attention", "attention_rescoring"]
CTC_METHODS = U2_METHODS[:2]


@dataclass(frozen=True)
class Family:
    """A model, and what the recipe asks of it.

    Attributes:
        chunk_size: of PaddleSpeech's simulated streaming; 0 where the model takes whole
            recordings only.
        most: an upper bound of its character error rate; what it does was measured when it was
            trained.
    """

    model: str
    methods: list[str]
    most: float
    chunk_size: int = 0
    decode: dict[str, Any] | None = None


FAMILIES = [
    Family("deepspeech2offline_digits_cards", CTC_METHODS, 0.15),
    Family("deepspeech2online_digits_cards", CTC_METHODS, 0.15, chunk_size=8),
    Family(
        "conformer_u2pp_digits_cards",
        U2_METHODS,
        0.2,
        chunk_size=16,
        decode={"reverse_weight": 0.3},
    ),
    Family("transformer_spm_digits_cards", U2_METHODS, 0.35),
]


def recipe(shop: Workshop, folder: Path, family: Family, **more: Any) -> Path:
    asked: dict[str, Any] = {
        "schema": 1,
        "name": "trained",
        "version": "1",
        "model": {"source": "paddlespeech", "path": str(MODELS / family.model)},
        "data": {
            "calibration": {"manifest": str(DATA / "calibration.jsonl")},
            "test": {"manifest": str(DATA / "all.jsonl")},
        },
        "builds": {
            "fp32": {"target": "onnxruntime", "precision": "fp32"},
            "int8": {"target": "onnxruntime", "precision": "int8"},
        },
        "evaluate": {"methods": family.methods, "oracle": "paddlespeech"},
        "protect": {
            "encrypt": {"recipients": [{"file": str(shop.keys / "acme.pub")}]},
            "sign": {"key": {"file": str(shop.keys / "vendor.pem")}},
        },
    } | more
    if family.chunk_size:
        asked["streaming"] = {"chunk_size": family.chunk_size}
    if family.decode:
        asked["decode"] = family.decode
    path = folder / "recipe.yaml"
    with path.open("w") as stream:
        YAML().dump(asked, stream)
    return path


def build(shop: Workshop, path: Path, name: str) -> Path:
    shop.asrpack("build", str(path), f"--build={name}", f"--out={path.parent}", "--json")
    return path.parent / f"trained-1-{name}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model)
def test_the_text_is_paddlespeechs(workshop: Workshop, family: Family, tmp_path: Path) -> None:
    artifact = build(workshop, recipe(workshop, tmp_path, family), "fp32")
    evaluation = json.loads((artifact / "evaluation.json").read_bytes())
    assert evaluation["paddlespeech"]["candidate"]
    for method, found in evaluation["paddlespeech"]["candidate"].items():
        assert found == {"identical": 105, "different": []}, method
    for method in set(family.methods) - {"attention"}:  # small decoders alone stop too early
        assert evaluation["methods"][method]["cer"]["candidate"]["rate"] < family.most
    if family.chunk_size:
        assert streamed_differently(family, evaluation, tmp_path) == []


def streamed_differently(
    family: Family, evaluation: dict[str, Any], folder: Path
) -> list[tuple[str, str]]:
    """Utterances and methods whose streamed text is not PaddleSpeech's."""
    from asrpack.frontends.model_directory import find_checkpoint
    from asrpack.measure.oracle import open_paddlespeech
    from asrpack.measure.paddlespeech import Options
    from asrpack.recipe.manifest import read_manifest

    model = MODELS / family.model
    options = Options(chunk_size=family.chunk_size, **(family.decode or {}))
    ours = {item["utt"]: item["streaming"] for item in evaluation["utterances"]}
    different = []
    with contextlib.chdir(folder):  # PaddleSpeech leaves logs where it runs
        oracle = open_paddlespeech(model, find_checkpoint(model, None))
        for utterance in read_manifest(DATA / "all.jsonl"):
            features = oracle.features(oracle.samples(utterance.audio))
            different += [
                (utterance.id, method)
                for method in family.methods
                if method in oracle.methods
                and oracle.decode(features, method, options) != ours[utterance.id][method]
            ]
    return different


def test_int8_of_an_lstm_is_small_and_still_right(workshop: Workshop, tmp_path: Path) -> None:
    gate = {"size": {"max_ratio": 0.35}, "error_rate": {"metric": "cer", "max_increase": 0.02}}
    path = recipe(workshop, tmp_path, FAMILIES[1], gate=gate)
    build(workshop, path, "int8")


def test_a_language_model_ships_and_helps(workshop: Workshop, tmp_path: Path) -> None:
    pytest.importorskip("flashlight")
    language_model = {"path": str(MODELS / "lm" / "words.arpa"), "alpha": 0.5, "beta": 2.0}
    decode = {"method": "ctc_beam_search", "beam_size": 20, "language_model": language_model}
    family = Family("deepspeech2online_digits_cards", CTC_METHODS, 0.15, decode=decode)
    artifact = build(workshop, recipe(workshop, tmp_path, family), "fp32")
    methods = json.loads((artifact / "evaluation.json").read_bytes())["methods"]
    rates = {name: found["wer"]["candidate"]["rate"] for name, found in methods.items()}
    assert rates["ctc_beam_search"] < 0.5 * rates["ctc_greedy_search"]
    bundle = artifact / "bundle"
    assert (bundle / "model" / "ngram.lm.enc").is_file()
    assert "flashlight-text" in (bundle / "requirements.txt").read_text()
    done = workshop.asrpack(
        "run", str(bundle), str(DATA / "human" / "001.wav"), "--json",
        f"--identity={workshop.keys / 'acme.key'}", f"--trust={workshop.keys / 'vendor.pub'}",
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["decode"] == "ctc_beam_search" and found["text"]
