"""A model by PaddleSpeech's name in place of a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asrpack.cli import main
from asrpack.frontends import paddlespeech_tag
from asrpack.recipe.model_source import PaddleSpeechModel


def test_check_builds_from_the_tag_s_directory(
    sound: Path, quickstart: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    model = quickstart / "conformer_digits_cards"
    found = paddlespeech_tag.Tagged(model, "exp/conformer/checkpoints/avg_1.pdparams")
    monkeypatch.setattr(paddlespeech_tag, "resolve_tag", {"some-tag": found}.__getitem__)
    text = (sound / "recipe.yaml").read_text(encoding="utf-8")
    place = 'path: "${QUICKSTART}/conformer_digits_cards"'
    (sound / "recipe.yaml").write_text(text.replace(place, "tag: some-tag"), encoding="utf-8")
    assert main(["check", "recipe.yaml"]) == 0, capsys.readouterr().err


def test_a_model_has_one_place() -> None:
    for given in ({}, {"path": "a", "tag": "b"}):
        with pytest.raises(ValueError, match="exactly one of `path`, `tag`"):
            PaddleSpeechModel.model_validate({"source": "paddlespeech", **given})
