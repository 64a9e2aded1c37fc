"""``asrpack diff`` of small real bundles: what differs, and by how much."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asrpack.cli import main
from asrpack.cli.differences import comparison_lines
from asrpack.errors import InputError, IntegrityError
from asrpack.pipeline.compare import SECTIONS, Comparison, compare
from tests.runtime import tiny
from tests.stages.rendered import RECIPE, RECORDS, Keys, render_tree, seal_tree

Capture = pytest.CaptureFixture[str]
KEYS = Keys.generate()
# Of two bundles that are built from the same: their ids, and what names them.
NEVER_ALIKE = {"metadata", "files"}


def make(folder: Path, keys: Keys = KEYS, **more: Any) -> Path:
    render_tree(folder, tiny.describe(), keys=keys, **more)
    (folder / "customer.key").write_bytes(keys.customer)
    return seal_tree(folder, keys)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("first") / "a")


def changes(found: Comparison, section: str) -> dict[str, tuple[Any, Any]]:
    return {item.path: (item.a, item.b) for item in found.sections[section]}


def with_recipe(**changed: Any) -> Mapping[str, Any]:
    recipe = copy.deepcopy(RECIPE)
    recipe["content"] |= changed
    return recipe


def test_a_bundle_does_not_differ_from_itself(first: Path, capsys: Capture) -> None:
    identity = ["--identity", str(first.parent / "customer.key")]
    assert main(["diff", str(first), str(first), "--exit-code", *identity]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert lines == [*(f"{name}: same" for name in SECTIONS), "tensors: same, all 6"]


def test_a_second_build_differs_in_its_ids_only(first: Path, tmp_path: Path) -> None:
    found = compare(first, make(tmp_path / "b"))
    assert {name for name, items in found.sections.items() if items} <= NEVER_ALIKE
    assert set(changes(found, "metadata")) <= {"bundle_id", "created", "sequence"}
    assert {"model/encoder.onnx.enc", "model.sig"} <= set(changes(found, "files"))
    assert "verify.py" not in changes(found, "files")
    assert found.tensors is None and "--identity" in found.note


def test_recipe_tools_and_sources(first: Path, tmp_path: Path) -> None:
    test = {"manifest": "other.jsonl", "license": "CC0-1.0"}
    recipe = with_recipe(data={"test": test, "calibration": {"manifest": "calibration.jsonl"}})
    records = copy.deepcopy(RECORDS)
    records["stages"][0] |= {"tools": {"numpy": "2.1.0"}, "params": {"streaming": True}}
    records["stages"][0]["outputs"] = {"model.json": "0" * 64}
    records["sources"]["source"] = "c" * 64
    found = compare(first, make(tmp_path / "b", recipe=recipe, records=records))
    assert changes(found, "recipe") == {
        "data.calibration.name": ("said elsewhere", None),
        "data.test.license": ("CC-BY-4.0", "CC0-1.0"),
        "data.test.manifest": ("test.jsonl", "other.jsonl"),
    }
    assert changes(found, "tools") == {"numpy": ("2.0.0", "2.1.0")}
    assert changes(found, "stages") == {"import.streaming": (False, True)}
    assert changes(found, "sources") == {"model": ("b" * 64, "c" * 64)}
    assert changes(found, "outputs") == {"import.model.json": ("d" * 64, "0" * 64)}
    told = list(comparison_lines(found))
    assert "  numpy: 2.0.0 → 2.1.0" in told
    assert "  - data.calibration.name: said elsewhere" in told


def test_tensors_that_changed_and_by_how_much(first: Path, tmp_path: Path, capsys: Capture) -> None:
    graphs = {**tiny.graphs(), "encoder.onnx": tiny.encoder(1.5), "more.onnx": tiny.decoder(9)}
    other = make(tmp_path / "b", graphs=graphs)
    identity = ["--identity", str(first.parent / "customer.key")]
    assert main(["diff", str(first), str(other), "--json", "--exit-code", *identity]) == 8
    told = json.loads(capsys.readouterr().out)
    (changed,) = told["tensors"]["changed"]
    assert changed["name"] == "encoder/weight"
    assert changed["relative_l2"] == 0.5 and changed["fraction"] == 1.0
    assert told["tensors"]["added"] == ["more/table"]
    assert not told["same"] and told["tensors"]["compared"] == 6
    assert main(["diff", str(first), str(other), *identity]) == 0
    assert "encoder/weight: relative L2 0.5" in capsys.readouterr().out


def test_keys_of_another_vendor_and_customer(first: Path, tmp_path: Path, capsys: Capture) -> None:
    other = make(tmp_path / "b", Keys.generate())
    found = changes(compare(first, other), "keys")
    assert len(found) == 3 and found["signer"][0] != found["signer"][1]
    # Each opens with its own key.
    keys = [f"--identity={bundle.parent / 'customer.key'}" for bundle in (first, other)]
    assert main(["diff", str(first), str(other), *keys]) == 0
    assert "tensors: same, all 6" in capsys.readouterr().out
    assert main(["diff", str(first), str(other), keys[0]]) == 7
    error = capsys.readouterr().err
    assert str(other.parent) in error and "Traceback" not in error


def test_an_identity_that_a_licence_names(first: Path, tmp_path: Path, capsys: Capture) -> None:
    guest = tmp_path / "guest.key"
    vendor, licence = tmp_path / "vendor.pem", tmp_path / "licence.json"
    vendor.write_bytes(KEYS.signing)
    assert main(["keys", "generate", "recipient", "-o", str(guest)]) == 0
    words = [
        "license", "issue", first, "--customer", "guest", "--recipient", guest.with_suffix(".pub"),
        "--escrow", first.parent / "customer.key", "--sign", vendor, "-o", licence,
    ]  # fmt: skip
    assert main([str(word) for word in words]) == 0
    command = ["diff", str(first), str(first), "--identity", str(guest)]
    assert main(command) == 7
    assert main([*command, "--license", str(licence)]) == 0
    assert "tensors: same, all 6" in capsys.readouterr().out


def test_it_says_so_where_it_cannot_compare(first: Path, tmp_path: Path, capsys: Capture) -> None:
    for folder, said in ((tmp_path, "neither a bundle"), (tmp_path / "none", "is not there")):
        with pytest.raises(InputError, match=said):
            compare(first, folder)
    broken = tmp_path / "broken"
    shutil.copytree(first, broken)
    (broken / "provenance.intoto.json").write_text('{"predicate": []}')
    assert main(["diff", str(first), str(broken)]) == 3
    assert "not as asrpack writes it" in capsys.readouterr().err
    (broken / "provenance.intoto.json").unlink()
    assert main(["diff", str(first), str(broken)]) == 3
    assert "provenance.intoto.json" in capsys.readouterr().err
    (broken / "model" / "envelope.json").write_text("{}")
    with pytest.raises(IntegrityError):
        compare(first, broken)
