"""``wheels``: pip itself, on an index of small wheels in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asrpack.errors import ToolchainError
from asrpack.stages.stage import Context
from asrpack.stages.wheels import Wheels, platform_tags
from tests.stages.wheel_files import make_wheel

INDEX = (
    ("engine", "2.0", "cp311-cp311-manylinux_2_28_x86_64"),
    ("engine", "2.0", "cp311-cp311-manylinux_2_28_aarch64"),
    ("engine", "2.0", "cp312-cp312-manylinux_2_28_x86_64"),
    ("engine", "2.0", "cp311-cp311-manylinux_2_39_aarch64"),
    ("engine", "2.0", "cp311-cp311-musllinux_1_2_x86_64"),
    ("engine", "2.0", "cp311-cp311-macosx_14_0_arm64"),
    ("ciphers", "5.0", "cp39-abi3-manylinux_2_34_x86_64"),
    ("ciphers", "5.0", "cp39-abi3-manylinux_2_34_aarch64"),
    ("ciphers", "5.0", "cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"),
    ("sound", "1.0", "py2.py3-none-manylinux2014_x86_64"),
    ("sound", "1.0", "py2.py3-none-manylinux2014_aarch64"),
    ("plain", "3.1", "py3-none-any"),
    ("intel", "1.0", "cp311-cp311-manylinux1_x86_64"),
)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for wheel in INDEX:
        make_wheel(folder, *wheel)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def downloaded(folder: Path, *requirements: str, **more: Any) -> list[str]:
    out = folder / "out"
    out.mkdir()
    stage = Wheels()
    given = {"platforms": ("linux/amd64", "linux/arm64"), "python": "3.11", **more}
    params = stage.Params.model_validate({"requirements": requirements, **given})
    stage.run(params, {}, out, Context())
    assert [item.name for item in out.iterdir()] == ["wheels"]
    return sorted(item.name for item in (out / "wheels").iterdir())


def test_each_platform_gets_its_own_newest_wheels(index: Path, tmp_path: Path) -> None:
    found = downloaded(tmp_path, "engine==2.0", "ciphers==5.0", "sound==1.0", "plain==3.1")
    assert found == [
        "ciphers-5.0-cp39-abi3-manylinux_2_34_aarch64.whl",
        "ciphers-5.0-cp39-abi3-manylinux_2_34_x86_64.whl",
        "engine-2.0-cp311-cp311-manylinux_2_28_aarch64.whl",
        "engine-2.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        "plain-3.1-py3-none-any.whl",
        "sound-1.0-py2.py3-none-manylinux2014_aarch64.whl",
        "sound-1.0-py2.py3-none-manylinux2014_x86_64.whl",
    ]


def test_another_python_gets_its_own(index: Path, tmp_path: Path) -> None:
    found = downloaded(tmp_path, "engine==2.0", platforms=("linux/amd64",), python="3.12")
    assert found == ["engine-2.0-cp312-cp312-manylinux_2_28_x86_64.whl"]


def test_a_platform_without_a_wheel_is_named(index: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match=r"linux/arm64.*intel==1\.0") as caught:
        downloaded(tmp_path, "plain==3.1", "intel==1.0")
    assert caught.value.exit_code == 4 and "bundle.wheels" in str(caught.value.remedy)


def test_an_index_out_of_reach_is_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ToolchainError, match=r"plain==3\.1") as caught:
        downloaded(tmp_path, "plain==3.1")
    assert "PIP_INDEX_URL" in str(caught.value.remedy)


def test_no_tag_is_newer_than_the_images_system() -> None:
    assert next(platform_tags("linux/arm64")) == "manylinux_2_36_aarch64"
    old = {"manylinux2014_aarch64"}
    assert {tag for tag in platform_tags("linux/arm64") if "_2_" not in tag} == old
