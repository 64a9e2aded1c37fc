"""What a build's precision and target ask of the quantize stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asrpack.pipeline.check import check_recipe
from asrpack.pipeline.compose import compose
from asrpack.pipeline.node import Node, Output
from asrpack.recipe.load import load_recipe
from tests.recipe.conftest import key_texts, sound

__all__ = ["key_texts", "sound"]


def quantize(folder: Path, *overrides: str, target: str = "onnxruntime") -> Node:
    loaded = load_recipe(folder / "recipe.yaml", overrides)
    build = loaded.recipe.builds["cpu"].model_copy(update={"target": target})
    recipe = loaded.recipe.model_copy(update={"builds": {"cpu": build}})
    nodes = compose(replace(loaded, recipe=recipe), check_recipe(loaded), "cpu")
    return next(node for node in nodes if node.name == "quantize")


def test_int4_is_weight_only_and_takes_the_recipes_blocks(sound: Path) -> None:
    params = quantize(sound, "builds.cpu.precision=int4", "builds.cpu.quantize={block_size: 32}")
    assert params.params.weight_only and params.params.block_size == 32
    assert quantize(sound, "builds.cpu.precision=int4").params.block_size == 128


def test_int8_is_dynamic_unless_the_recipe_says_otherwise(sound: Path) -> None:
    assert not quantize(sound).params.weight_only
    assert quantize(sound, "builds.cpu.quantize={method: weight_only}").params.weight_only


@pytest.mark.parametrize(
    ("target", "half", "inputs"),
    [("onnxruntime", "storage", {"onnx"}), ("cuda", "arithmetic", {"onnx", "cases"})],
)
def test_fp16_is_for_storage_on_a_cpu_and_for_arithmetic_on_a_gpu(
    sound: Path, target: str, half: str, inputs: set[str]
) -> None:
    """A GPU's overflows are looked for on the speech that every step is compared on."""
    node = quantize(sound, "builds.cpu.precision=fp16", target=target)
    assert node.params.half == half
    assert set(node.inputs) == inputs
    assert node.inputs.get("cases") in (None, Output("export", "cases.npz"))
