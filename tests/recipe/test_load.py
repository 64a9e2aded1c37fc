"""Loading: paths, overrides, digests, and that nothing but AsrpackError ever comes out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asrpack.errors import AsrpackError, ErrorGroup
from asrpack.recipe.load import load_recipe
from asrpack.recipe.model_source import OnnxModel, PaddleModel, PaddleSpeechModel
from asrpack.recipe.schema import Recipe, Secret
from asrpack.recipe.slots import ROOT, Slot
from tests.recipe.conftest import SOUND

REUSE_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def load(*overrides: str) -> Recipe:
    return load_recipe(Path("recipe.yaml"), overrides).recipe


def test_sound(sound: Path, quickstart: Path) -> None:
    loaded = load_recipe(Path("recipe.yaml"))
    recipe = loaded.recipe
    assert loaded.path == sound / "recipe.yaml"
    assert loaded.digest == hashlib.sha256(SOUND.encode()).hexdigest()
    assert recipe.model.path == quickstart / "conformer_digits_cards"
    assert recipe.protect.encrypt.recipients[0].file == sound / "keys" / "acme.pub"
    assert recipe.builds["cpu"].quantize.exclude is None
    assert recipe.evaluate.oracle == "none" and recipe.gate.speedup is None
    source = recipe.protect.sign.key.source()
    assert (source.kind, source.value) == ("file", str(sound / "keys" / "vendor.pem"))


def test_paths_are_relative_to_the_recipe_and_not_to_the_current_folder(
    sound: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    recipe = load_recipe(sound / "recipe.yaml", ["data.test.manifest=../up/t.jsonl"]).recipe
    assert recipe.data.test.manifest == sound.parent / "up" / "t.jsonl"


def test_a_recipe_with_a_byte_order_mark_and_windows_lines(sound: Path) -> None:
    Path("recipe.yaml").write_bytes(b"\xef\xbb\xbf" + SOUND.replace("\n", "\r\n").encode())
    assert load().name == "digits"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("{env: SIGNING_KEY}", "env", "SIGNING_KEY"),
        ("{command: pass show vendor}", "command", "pass show vendor"),
        ('{file: "${HOME}/k.pem"}', "file", "/home/somebody/k.pem"),
    ],
)
def test_secrets_are_references(
    sound: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: str, value: str
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    source = load(f"protect.sign.key={text}").protect.sign.key.source()
    assert (source.kind, source.value) == (kind, value)


def test_overrides_apply_in_order_and_leave_the_file(sound: Path) -> None:
    loaded = load_recipe(
        Path("recipe.yaml"),
        [
            "builds.cpu.precision=fp16",
            "builds.cpu={target: onnxruntime, precision: fp32}",
            "evaluate.threads=2",
            'version="2.0"',
            "protect.encrypt.recipients.0.file=keys/other.pub",
            "gate.error_rate.max_increase=0.01",
        ],
    )
    recipe = loaded.recipe
    assert recipe.builds["cpu"].precision == "fp32"
    assert recipe.evaluate.threads == 2 and recipe.version == "2.0"
    assert recipe.protect.encrypt.recipients[0].file == sound / "keys" / "other.pub"
    assert recipe.gate.error_rate is not None
    assert (recipe.gate.error_rate.max, recipe.gate.error_rate.max_increase) == (0.08, 0.01)
    assert len(loaded.overrides) == 6
    assert Path("recipe.yaml").read_text(encoding="utf-8") == SOUND


VALUES = {
    "decode.method": st.sampled_from(["ctc_greedy_search", "attention_rescoring"]),
    "decode.beam_size": st.integers(1, 1000),
    "decode.ctc_weight": st.floats(0, 100),
    "evaluate.methods": st.lists(st.just("ctc_greedy_search"), min_size=1, max_size=3),
    "evaluate.threads": st.integers(0, 1024),
    "gate.error_rate.max": st.floats(0, 1),
    "gate.size.max_ratio": st.floats(0, 10, exclude_min=True),
    "protect.watermark.strength": st.floats(0, 0.5, exclude_min=True),
    "builds.cpu.quantize.exclude": st.lists(
        st.text(st.characters(codec="ascii", exclude_characters="$"), min_size=1)
    ),
    "version": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", fullmatch=True),
    "model.checkpoint": st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="$"), min_size=1
    ),
}


@REUSE_FOLDER
@given(data=st.data(), path=st.sampled_from(sorted(VALUES)))
def test_an_override_arrives_as_it_was_given(sound: Path, data: Any, path: str) -> None:
    value = data.draw(VALUES[path])
    found: Any = load(f"{path}={json.dumps(value)}").model_dump(mode="json")
    for key in path.split("."):
        found = found[key]
    assert found == value


def every_path(slot: Slot, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths = []
    for key, child in slot.keys.items():
        inner = child.child("cpu") if child.is_open else child
        assert inner is not None
        where = (*above, key, "cpu") if child.is_open else (*above, key)
        paths += [where, *every_path(inner, where)]
    return paths


def test_every_field_has_a_description_and_can_be_overridden(sound: Path) -> None:
    paths = every_path(ROOT)
    assert len(paths) > 40
    kinds = (("paddlespeech", PaddleSpeechModel), ("onnx", OnnxModel), ("paddle", PaddleModel))
    for path in paths:
        slot: Slot | None = ROOT
        for key in path:
            slot = slot.child(key) if slot else None
        assert slot is not None and len(slot.description) > 5, path
        if "constants" in path[:-1]:
            continue  # an override makes up no new name of a user's own
        key = (*path, "", "")[1]
        source = next((s for s, kind in kinds if key in kind.model_fields), "paddlespeech")
        with pytest.raises(ErrorGroup) as caught:
            load(f"model.source={source}", f"{'.'.join(path)}=[[]]")
        assert all("unknown" not in str(error) for error in caught.value.errors), path


@REUSE_FOLDER
@given(text=st.text(max_size=40), value=st.text(max_size=20))
def test_any_override_is_applied_or_refused(sound: Path, text: str, value: str) -> None:
    try:
        load(f"{text}={value}")
    except AsrpackError as error:
        assert error.exit_code == 3


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
SECTIONS = st.sampled_from([*ROOT.keys, "builds", "protect", "gate"])


@REUSE_FOLDER
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(str.encode)))
def test_any_bytes_are_a_recipe_or_an_error(sound: Path, data: bytes) -> None:
    Path("recipe.yaml").write_bytes(data)
    with pytest.raises(AsrpackError):
        load()


@REUSE_FOLDER
@given(st.dictionaries(SECTIONS, JUNK, max_size=6))
def test_any_junk_in_the_right_sections_is_an_error_with_a_place(
    sound: Path, junk: dict[str, Any]
) -> None:
    Path("recipe.yaml").write_text(json.dumps(junk), encoding="utf-8")
    with pytest.raises(AsrpackError) as caught:
        load()
    errors = getattr(caught.value, "errors", [caught.value])
    assert errors
    for error in errors:
        assert error.exit_code == 3 and error.place.startswith("recipe.yaml") and error.remedy


def test_one_error_for_one_fault(sound: Path) -> None:
    with pytest.raises(ErrorGroup) as caught:
        load("gate.error_rate.max=2", "name='a b'")
    assert len(caught.value.errors) == 2


def test_a_fault_in_what_is_named_has_the_place_of_its_value(sound: Path) -> None:
    loaded = load_recipe(Path("recipe.yaml"))
    error = loaded.fault(("data", "test", "manifest"), "is gone", code="gone")
    assert error.place == "recipe.yaml:7:20"
    assert 'test: {manifest: "${QUICKSTART}' in str(error)


def test_no_secret_in_a_repr() -> None:
    with pytest.raises(ValueError) as caught:
        Secret.model_validate({"file": 3, "value": "tops3cret"})
    assert "tops3cret" not in str(caught.value)
