"""What a recipe's ``decode`` section changes in a build, and what it asks of which models."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrpack.errors import ErrorGroup
from asrpack.pipeline.check import check_recipe
from asrpack.pipeline.compose import compose
from asrpack.pipeline.node import Node, Source
from asrpack.recipe.load import load_recipe
from tests.frontends.onnx_graphs import ctc, save
from tests.recipe.conftest import key_texts, sound

__all__ = ["key_texts", "sound"]

MODELS = Path(__file__).parents[2] / "recipes/models"
ARPA = MODELS / "lm/characters.arpa"
BIDIRECTIONAL = (
    f"model.path={MODELS / 'conformer_u2pp_digits_cards'}",
    "evaluate.oracle=paddlespeech",
)


def nodes(folder: Path, *overrides: str) -> dict[str, Node]:
    """By stage."""
    loaded = load_recipe(folder / "recipe.yaml", overrides)
    return {node.stage.name: node for node in compose(loaded, check_recipe(loaded), "cpu")}


def changed(before: dict[str, Node], after: dict[str, Node]) -> set[str]:
    """Stages whose own options or inputs are others."""
    assert before.keys() == after.keys()
    return {
        name
        for name, node in before.items()
        if (node.params, node.inputs) != (after[name].params, after[name].inputs)
    }


def test_a_language_model_ships_and_is_searched_with(sound: Path) -> None:
    """Nothing is exported anew for it."""
    found = nodes(sound, f"decode={{language_model: {{path: {ARPA}, beta: 2.0}}}}")
    assert changed(nodes(sound), found) == {"configure", "evaluate", "encrypt", "render"}
    assert found["configure"].params.model_dump()["ngram"] == {"beta": 2.0}
    for name in ("evaluate", "encrypt", "render"):
        assert found[name].inputs["language_model"] == Source(ARPA)
    plain = nodes(sound, f"decode={{language_model: {{path: {ARPA}}}}}")
    assert plain["configure"].params.model_dump()["ngram"] == {}
    assert changed(found, plain) == {"configure", "render"}


def test_a_right_to_left_decoder_is_another_import(sound: Path) -> None:
    one_way = nodes(sound, *BIDIRECTIONAL, "decode.reverse_weight=0")
    both = nodes(sound, *BIDIRECTIONAL, "decode.reverse_weight=0.3")
    assert changed(one_way, both) == {"import", "configure", "reference", "render"}
    assert both["import"].params.model_dump()["right_to_left"] is True
    assert one_way["import"].params.model_dump()["right_to_left"] is False


@pytest.mark.parametrize(
    ("line", "column", "code"),
    [
        ("streaming: {chunk_size: 8}", 1, "not-streaming"),
        ("decode: {reverse_weight: 0.3}", 26, "no-right-decoder"),
    ],
)
def test_what_only_paddlespeechs_models_can_do(
    sound: Path, line: str, column: int, code: str
) -> None:
    model = save(ctc(bins=80), sound / "onnx")
    path = sound / "recipe.yaml"
    text = path.read_text(encoding="utf-8")
    text = text.replace(
        '{source: paddlespeech, path: "${QUICKSTART}/conformer_digits_cards"}',
        f"{{source: onnx, path: {model}, front_end: {{fbank: {{num_mel_bins: 80}}}}}}",
    )
    path.write_text(text, encoding="utf-8")
    assert check_recipe(load_recipe(path)).model.family
    path.write_text(f"{text}{line}\n", encoding="utf-8")
    with pytest.raises(ErrorGroup) as caught:
        check_recipe(load_recipe(path))
    (error,) = caught.value.errors
    assert error.code == code and "source is onnx" in error.message
    assert error.place == f"recipe.yaml:{1 + text.count(chr(10))}:{column}"
    assert error.remedy == "take it out"
