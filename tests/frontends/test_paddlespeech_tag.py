"""Tags, by PaddleSpeech's own table; no network is used."""

from __future__ import annotations

import ast
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from asrpack.errors import InputError, ToolchainError
from asrpack.frontends import sources
from asrpack.frontends.paddlespeech_tag import resolve_tag

TAG = "conformer_wenetspeech-zh-16k"


def table() -> dict[str, Any]:
    """PaddleSpeech's table of models, read without importing PaddleSpeech."""
    found = importlib.util.find_spec("paddlespeech")
    if found is None or found.origin is None:
        return {}
    source = Path(found.origin).parent / "resource" / "pretrained_models.py"
    for item in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(item, ast.Assign) and item.targets[0].id == "asr_dynamic_pretrained_models":  # type: ignore[attr-defined]
            return dict(ast.literal_eval(item.value))
    return {}


LAYOUTS = [
    (tag, version, entry)
    for tag, versions in table().items()
    for version, entry in versions.items()
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PPSPEECH_HOME", str(tmp_path))
    monkeypatch.setenv("ASRPACK_NO_DOWNLOAD", "1")
    return tmp_path


def lay_out(model: Path, target: Path, entry: dict[str, Any], checkpoint: str) -> Path:
    """A small model under the names of a published one."""
    shutil.copytree(model, target, ignore=shutil.ignore_patterns("*.pdparams"))
    weights = target / f"{checkpoint}.pdparams"
    weights.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(next(model.rglob("*.pdparams")), weights)
    shutil.move(target / "model.yaml", target / entry["cfg_path"])
    return target


@pytest.mark.skipif(not LAYOUTS, reason="PaddleSpeech is not installed")
@pytest.mark.parametrize(
    ("tag", "version", "entry"), LAYOUTS, ids=[f"{tag} {version}" for tag, version, _ in LAYOUTS]
)
def test_the_layout_of_every_published_tag_is_read(
    pristine: Path, tmp_path: Path, tag: str, version: str, entry: dict[str, Any]
) -> None:
    folder = lay_out(pristine, tmp_path / "model", entry, entry["ckpt_path"])
    for checkpoint in (None, entry["ckpt_path"], f"{entry['ckpt_path']}.pdparams"):
        found = sources.recognise(folder, checkpoint)
        assert found.checkpoint == folder / f"{entry['ckpt_path']}.pdparams"


@pytest.mark.oracle
def test_a_tag_that_was_unpacked_by_hand(pristine: Path, home: Path) -> None:
    versions = table()[TAG]
    version = list(versions)[-1]
    folder = home / "models" / TAG / version / "as_it_likes"
    lay_out(pristine, folder, versions[version], versions[version]["ckpt_path"])
    found = resolve_tag(TAG)
    assert found.path == folder
    assert (folder / found.checkpoint).is_file()


@pytest.mark.oracle
def test_without_a_network_it_says_what_to_put_where(home: Path) -> None:
    with pytest.raises(ToolchainError) as caught:
        resolve_tag(TAG)
    entry = list(table()[TAG].values())[-1]
    remedy = caught.value.remedy or ""
    assert caught.value.code == "tag-not-fetched"
    assert entry["url"] in remedy and entry["md5"] in remedy and str(home) in remedy


@pytest.mark.oracle
def test_an_unknown_tag_lists_the_near_ones_and_all(home: Path) -> None:
    with pytest.raises(InputError) as caught:
        resolve_tag("conformer_wenetspech-zh-16k")
    assert TAG in caught.value.message.partition("near it")[2]
    assert all(tag in (caught.value.remedy or "") for tag in table())
