"""``bundle.wheels`` and ``bundle.golden``: which stages a build gets, and what reads them."""

from __future__ import annotations

from pathlib import Path

from asrpack.pipeline.node import Output, Records
from asrpack.report.packages import runtime_packages
from tests.pipeline.test_compose_targets import nodes
from tests.recipe.conftest import key_texts, sound

__all__ = ["key_texts", "sound"]

WHEELS = "bundle.wheels=[linux/arm64, linux/amd64, linux/arm64]"


def test_without_it_nothing_is_downloaded(sound: Path) -> None:
    plain = nodes(sound)
    assert "wheels" not in plain
    assert "wheels" not in plain["render"].inputs and "wheels" not in plain["seal"].inputs


def test_what_the_runtime_requires_is_downloaded_once_and_told(sound: Path) -> None:
    found = nodes(sound, WHEELS)
    params = found["wheels"].params.model_dump()
    pins = tuple(f"{name}=={version}" for name, version in runtime_packages("onnxruntime"))
    assert params["requirements"] == pins
    assert params["platforms"] == ("linux/amd64", "linux/arm64")
    for name in ("render", "seal"):
        assert found[name].inputs["wheels"] == Output("wheels", "wheels")
    records = found["render"].inputs["records"]
    assert isinstance(records, Records) and "wheels" in records.stages


def test_they_are_for_the_python_of_the_image(sound: Path) -> None:
    gpu = "builds.cpu={target: cuda, precision: fp16, fallback: cpu}"
    params = nodes(sound, WHEELS, gpu)["wheels"].params.model_dump()
    assert params["python"] == "3.12"
    assert any(item.startswith("onnxruntime-gpu==") for item in params["requirements"])


def test_golden_utterances_are_encrypted_where_asked_for(sound: Path) -> None:
    assert "golden" not in nodes(sound) and "golden" not in nodes(sound)["encrypt"].inputs
    found = nodes(sound, "bundle.golden=3")
    assert found["golden"].params.model_dump() == {"count": 3}
    assert found["encrypt"].inputs["golden"] == Output("golden", "golden.json")
