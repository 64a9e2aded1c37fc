"""What a build's target changes, and which models can be built for which."""

from __future__ import annotations

from pathlib import Path

import pytest

from asrpack.errors import ErrorGroup
from asrpack.pipeline.check import check_recipe
from asrpack.pipeline.compose import compose
from asrpack.pipeline.node import Node, Output
from asrpack.recipe.load import load_recipe
from tests.frontends.onnx_graphs import ctc, save
from tests.recipe.conftest import key_texts, sound

__all__ = ["key_texts", "sound"]

PADDLE = "builds.cpu={target: paddle_inference, precision: int8, quantize: {exclude: [ctc.*]}}"


def nodes(folder: Path, *overrides: str) -> dict[str, Node]:
    """By stage."""
    loaded = load_recipe(folder / "recipe.yaml", overrides)
    return {node.stage.name: node for node in compose(loaded, check_recipe(loaded), "cpu")}


def test_paddle_inference_takes_the_exported_graphs(sound: Path) -> None:
    onnx, paddle = nodes(sound), nodes(sound, PADDLE)
    assert list(onnx) == list(paddle)
    exported = Output("export", "paddle")
    assert paddle["quantize"].inputs["paddle"] == exported
    assert paddle["quantize"].params.precision == "int8"
    assert paddle["quantize"].params.exclude == ("ctc.*",)
    assert paddle["watermark"].inputs == {
        "original": exported,
        "paddle": Output("quantize", "paddle"),
    }
    assert paddle["evaluate"].params.model_dump()["target"] == "paddle_inference"
    assert paddle["render"].params.model_dump()["target"] == "paddle_inference"
    for name in ("evaluate", "encrypt"):
        graphs = paddle[name].inputs["candidate" if name == "evaluate" else "graphs"]
        assert graphs == Output("watermark", "paddle")


def test_all_builds_are_measured_against_fp32_on_onnx_runtime(sound: Path) -> None:
    baselines = {
        found["evaluate"].inputs["baseline"] for found in (nodes(sound), nodes(sound, PADDLE))
    }
    assert baselines == {Output("optimize", "onnx")}


def test_nothing_before_quantize_depends_on_the_target(sound: Path) -> None:
    onnx, paddle = nodes(sound), nodes(sound, PADDLE)
    for name in list(onnx)[: list(onnx).index("quantize")]:
        assert (onnx[name].params, onnx[name].inputs) == (paddle[name].params, paddle[name].inputs)


def test_a_model_of_another_toolkit_is_refused(sound: Path) -> None:
    model = save(ctc(bins=80), sound / "onnx")
    path = sound / "recipe.yaml"
    text = path.read_text(encoding="utf-8").replace(
        '{source: paddlespeech, path: "${QUICKSTART}/conformer_digits_cards"}',
        f"{{source: onnx, path: {model}, front_end: {{fbank: {{num_mel_bins: 80}}}}}}",
    )
    path.write_text(text.replace("onnxruntime", "paddle_inference"), encoding="utf-8")
    with pytest.raises(ErrorGroup) as caught:
        check_recipe(load_recipe(path))
    (error,) = caught.value.errors
    assert (error.code, error.place) == ("target-source", "recipe.yaml:9:17")
    assert "target: onnxruntime" in (error.remedy or "")
