"""The fp32 build says what PaddleSpeech says, by every decoding method, on the whole test set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.e2e.conftest import METHODS, RECIPE, Workshop

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("e2e")]


def unmarked_recipe(shop: Workshop, folder: Path) -> Path:
    """The quickstart recipe without a watermark, compared with PaddleSpeech."""
    yaml = YAML()
    recipe = yaml.load(RECIPE.read_text())
    root = RECIPE.parent
    recipe["model"]["path"] = str(root / recipe["model"]["path"])
    for part in recipe["data"].values():
        part["manifest"] = str(root / part["manifest"])
    del recipe["protect"]["watermark"]
    recipe["protect"]["encrypt"]["recipients"][0]["file"] = str(shop.keys / "acme.pub")
    recipe["protect"]["sign"]["key"]["file"] = str(shop.keys / "vendor.pem")
    recipe["evaluate"] = {"methods": METHODS, "oracle": "paddlespeech"}
    path = folder / "recipe.yaml"
    yaml.dump(recipe, path)
    return path


def test_texts_equal_paddlespeechs(workshop: Workshop, tmp_path: Path) -> None:
    recipe = unmarked_recipe(workshop, tmp_path)
    workshop.asrpack("build", str(recipe), "--build=fp32", f"--out={tmp_path}", "--json")
    artifact = tmp_path / "digits-cards-1.0.0-fp32"
    evaluation = json.loads((artifact / "evaluation.json").read_bytes())
    oracle = evaluation["paddlespeech"]
    assert oracle["versions"]["paddlespeech"] == "1.5.0"
    for method in METHODS:
        assert oracle["candidate"][method] == {"identical": 105, "different": []}, method
