"""What a recipe's ``streaming`` section changes in a build, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrpack.pipeline.check import check_recipe
from asrpack.pipeline.compose import compose
from asrpack.recipe.load import load_recipe
from tests.recipe.conftest import key_texts, sound

__all__ = ["key_texts", "sound"]


def parameters(folder: Path, *overrides: str) -> dict[str, object]:
    """Of each stage."""
    loaded = load_recipe(folder / "recipe.yaml", overrides)
    nodes = compose(loaded, check_recipe(loaded), "cpu")
    return {node.stage.name: node.params for node in nodes}


@pytest.mark.parametrize(
    ("first", "second", "changed"),
    [
        ((), ("streaming={}",), {"import"}),
        (("streaming={}",), ("streaming={chunk_size: 8}",), {"configure"}),
        (("streaming={}",), ("streaming={left_chunks: 4}",), {"configure"}),
    ],
    ids=["streaming", "chunk size", "left chunks"],
)
def test_stages_that_change(
    sound: Path, first: tuple[str, ...], second: tuple[str, ...], changed: set[str]
) -> None:
    """Another chunk size exports nothing anew; to stream at all is another graph.

    The bundle's documents tell the recipe, whatever it says.
    """
    before, after = parameters(sound, *first), parameters(sound, *second)
    assert {name for name in before if before[name] != after[name]} == changed | {"render"}
