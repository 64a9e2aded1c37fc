"""What a build's precision and target ask of the quantize stage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from asrpack.pipeline.check import check_recipe
from asrpack.pipeline.compose import compose
from asrpack.pipeline.node import Node, Output, Source
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
    assert params.params.how == "weight_only" and params.params.block_size == 32
    assert quantize(sound, "builds.cpu.precision=int4").params.block_size == 128


def test_int8_is_dynamic_unless_the_recipe_says_otherwise(sound: Path) -> None:
    assert quantize(sound).params.how == "dynamic"
    assert quantize(sound, "builds.cpu.quantize={method: weight_only}").params.how == "weight_only"


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


def nodes(folder: Path, quantize: str) -> dict[str, Node]:
    loaded = load_recipe(folder / "recipe.yaml", [f"builds.cpu.quantize={quantize}"])
    return {node.name: node for node in compose(loaded, check_recipe(loaded), "cpu")}


def test_dynamic_looks_at_no_speech(sound: Path) -> None:
    found = nodes(sound, "{}")
    assert not {"smooth", "calibrate"} & set(found)
    assert "calibration" not in found["evaluate"].inputs
    assert "calibration" in found["render"].inputs, "every step was compared on it"


def test_static_is_calibrated_on_the_set_which_the_evidence_names(sound: Path) -> None:
    found = nodes(sound, "{method: static, operators: [matmul, attention]}")
    calibrate = found["calibrate"]
    manifest = calibrate.inputs["manifest"]
    assert isinstance(manifest, Source) and len(manifest.files) == 60
    assert (calibrate.params.observer, calibrate.params.attention) == ("minmax", True)
    ranges = Output("calibrate", "calibration.json")
    assert found["quantize"].inputs["calibration"] == ranges
    assert found["evaluate"].inputs["calibration"] == ranges
    assert found["render"].inputs["calibration"] == manifest
    assert found["watermark"].inputs["original"] == Output("optimize", "onnx")


def test_smoothed_graphs_are_what_is_quantized_and_marked(sound: Path) -> None:
    found = nodes(sound, "{smooth: 0.5, method: static, observer: hist}")
    smoothed = Output("smooth", "onnx")
    for stage, name in (("calibrate", "onnx"), ("quantize", "onnx"), ("watermark", "original")):
        assert found[stage].inputs[name] == smoothed
    assert found["evaluate"].inputs["baseline"] == Output("optimize", "onnx")
    assert found["calibrate"].inputs["factors"] == Output("smooth", "factors.npz")
    assert found["calibrate"].inputs["params"] == Output("import", "params.npz")


def test_other_operators_measure_nothing_anew(sound: Path) -> None:
    before, after = (
        nodes(sound, f"{{method: static, operators: [{operators}]}}")
        for operators in ("matmul", "matmul, conv, output")
    )
    changed = {name for name in before if before[name].params != after[name].params}
    assert changed == {"quantize", "render"}
