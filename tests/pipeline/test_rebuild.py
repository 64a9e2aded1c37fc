"""``rebuild``: what counts as the same, what is named where it is not; and what it refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from asrpack.cli import main
from asrpack.cli.differences import stage_lines
from asrpack.pipeline.cache import Cache
from asrpack.pipeline.digest import digest_path
from asrpack.pipeline.events import Event
from asrpack.pipeline.ingredients import kept_outputs
from asrpack.pipeline.locked import read_locked
from asrpack.pipeline.node import Node, Output, Source
from asrpack.pipeline.plan import SourceDigests, make_plan
from asrpack.pipeline.runner import Runner
from asrpack.pipeline.stage_outcome import Outcome, outcome
from asrpack.stages.encrypt import Encrypt
from asrpack.stages.evaluate import Evaluate
from tests.pipeline.sample_stages import Count, Upper
from tests.runtime import tiny

Capture = pytest.CaptureFixture[str]
Find = Callable[[str], Path | None]
QUICKSTART = Path(__file__).parents[2] / "recipes" / "quickstart"


class Graphs(Upper):
    """Outputs of every kind that a stage has."""

    name: ClassVar[str] = "graphs"
    outputs: ClassVar[tuple[str, ...]] = ("onnx", "params.npz", "kept.json", "text")


GRAPHS = Node(Graphs(), Upper.Params(), {})


def leave(folder: Path, **changed: Any) -> Path:
    """Outputs of a stage, by what is in them."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "onnx" / "encoder.onnx").write_bytes(tiny.encoder(changed.get("scale", 1.0)))
    (folder / "onnx" / "decoder.onnx").write_bytes(tiny.decoder())
    np.savez(folder / "params.npz", w=np.full((2, 2), changed.get("value", 1.0), np.float32))
    (folder / "kept.json").write_text(json.dumps([{"tensor": changed.get("kept", "a")}]))
    (folder / "text").write_text(changed.get("text", "same"))
    return folder


def locked(folder: Path, **components: Any) -> dict[str, Any]:
    told = {"revision": 1, "params": {}, "inputs": {}, "tools": {}, "secrets": {}}
    outputs = {path.name: digest_path(path) for path in folder.iterdir()}
    return {"components": told | components, "outputs": outputs}


def held(a: Path, b: Path, **more: Any) -> Outcome:
    finders: tuple[Find, Find] = (lambda name: a / name, lambda name: b / name)
    return outcome(GRAPHS, locked(a), locked(b, **more), finders, fresh=set())


def paths(found: Outcome) -> list[str]:
    return [item.path for item in found.changes]


def test_the_same_bytes_are_identical(tmp_path: Path) -> None:
    a, b = leave(tmp_path / "a"), leave(tmp_path / "b")
    found = held(a, b, tools={"numpy": "2"})
    assert found == Outcome("graphs", "identical")


def test_a_graph_that_differs_is_named_with_its_tensors(tmp_path: Path) -> None:
    a, b = leave(tmp_path / "a"), leave(tmp_path / "b", scale=1.5)
    found = held(a, b, tools={"numpy": "2"})
    assert found.state == "differs" and paths(found) == ["onnx/encoder.onnx"]
    assert found.cause == ("numpy changed from None to 2",)
    assert found.tensors is not None
    (changed,) = found.tensors.changed
    assert changed.name == "encoder/weight" and changed.relative_l2 == 0.5
    told = "\n".join(stage_lines(found))
    assert "encoder/weight: relative L2 0.5" in told and "numpy" in told
    json.dumps(found.as_dict(), allow_nan=False)


def test_arrays_values_and_texts_that_differ_are_named(tmp_path: Path) -> None:
    a = leave(tmp_path / "a")
    found = held(a, leave(tmp_path / "b", value=2.0))
    assert found.tensors is not None and found.tensors.changed[0].name == "w"
    found = held(a, leave(tmp_path / "c", kept="b", text="other"))
    assert paths(found) == ["kept.json.0.tensor", "text"] and found.tensors is None


def test_what_is_not_kept_is_said_to_be_unknown(tmp_path: Path) -> None:
    a, b = leave(tmp_path / "a"), leave(tmp_path / "b", scale=2.0)
    finders: tuple[Find, Find] = (lambda name: None, lambda name: b / name)
    found = outcome(GRAPHS, locked(a), locked(b), finders, fresh=set())
    assert found.state == "differs" and not found.known and paths(found) == ["onnx"]
    assert "only its digest is known" in "\n".join(stage_lines(found))


def test_a_stage_of_one_build_only(tmp_path: Path) -> None:
    a = leave(tmp_path / "a")
    finders: tuple[Find, Find] = (lambda name: a / name, lambda name: None)
    assert outcome(GRAPHS, locked(a), None, finders, fresh=set()).state == "differs"


@pytest.mark.parametrize(
    ("place", "value", "state"),
    [
        (("timing", "speedup"), 3.0, "fresh"),
        (("timing", "host"), {"cpu": "another"}, "fresh"),
        (("memory", "candidate"), 2, "fresh"),
        (("methods", "cer"), 0.2, "differs"),
        (("set", "utterances"), 4, "differs"),
    ],
)
def test_of_an_evaluation_what_is_measured_may_differ(
    tmp_path: Path, place: tuple[str, str], value: Any, state: str
) -> None:
    sections = {"methods": {"cer": 0.1}, "set": {"utterances": 3}, "timing": {"speedup": 2.0}}
    evaluations = [{"format": 1, "memory": {"candidate": 1}, **sections} for _ in range(2)]
    evaluations[1][place[0]] = evaluations[1][place[0]] | {place[1]: value}  # type: ignore[operator]
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, evaluation in zip(folders, evaluations, strict=True):
        folder.mkdir()
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    a, b = folders
    node = Node(Evaluate(), Evaluate.Params(), {})
    finders: tuple[Find, Find] = (lambda name: a / name, lambda name: b / name)
    found = outcome(node, locked(a), locked(b), finders, fresh={"evaluate"})
    assert found.state == state
    assert paths(found) == ([".".join(place)] if state == "differs" else [])


def test_what_is_encrypted_is_compared_by_what_went_in(tmp_path: Path) -> None:
    inputs = {"graphs": Output("watermark", "onnx"), "records": Output("evaluate", "x")}
    node = Node(Encrypt(), Encrypt.Params(recipients=("a",), signer="s"), inputs)
    a, b = leave(tmp_path / "a"), leave(tmp_path / "b", text="ciphertext")
    finders: tuple[Find, Find] = (lambda name: None, lambda name: None)

    def held_with(then: dict[str, Any], now: dict[str, Any]) -> Outcome:
        locks = (locked(a, **then), locked(b, **now))
        return outcome(node, *locks, finders, fresh={"evaluate", "encrypt"})

    same: dict[str, Any] = {
        "params": {"recipients": ["a"]},
        "inputs": {"graphs": "1" * 64, "records": "2" * 64},
        "tools": {"cryptography": "50"},
    }
    found = held_with(same, same)
    assert found.state == "fresh" and "data keys" in found.cause[0]
    # Records hold times; another tool that encrypts the same is no difference.
    other = {"inputs": same["inputs"] | {"records": "3" * 64}, "tools": {"cryptography": "51"}}
    assert held_with(same, same | other).state == "fresh"
    found = held_with(same, {**same, "inputs": {"graphs": "4" * 64, "records": "2" * 64}})
    assert found.state == "differs" and paths(found) == ["input.graphs"]
    found = held_with(same, {**same, "params": {"recipients": ["b"]}})
    assert found.state == "differs" and paths(found) == ["parameter.recipients.0"]


def artifact(where: Path, **recipe: Any) -> Path:
    """What a build leaves to build it again from."""
    text = (QUICKSTART / "recipe.yaml").read_bytes()
    told = {
        "name": "x", "version": "1", "build": "cpu", "sha256": hashlib.sha256(text).hexdigest(),
        "folder": "..", "overrides": [], "asrpack": "0.1.0", "python": "3.11.0",
        "file": "recipe.yaml",
    }  # fmt: skip
    lock = {"format": 2, "recipe": told | recipe, "sources": {}, "stages": {}}
    where.mkdir(parents=True)
    (where / "asrpack.lock").write_text(json.dumps(lock))
    (where / "recipe.yaml").write_bytes(text)
    (where / "evaluation.json").write_text('{"format": 1}')
    (where / "gate.json").write_text('{"ok": false}')
    return where


def test_the_recipes_folder_is_found_from_the_artifact(tmp_path: Path, capsys: Capture) -> None:
    plain = artifact(tmp_path / "out" / "x-1-cpu", folder="../../shop")
    rejected = artifact(tmp_path / "out" / "y-1-cpu" / "rejected", folder="../../shop")
    for folder in (plain, rejected):
        assert read_locked(folder).loaded.folder == tmp_path / "shop"
        assert main(["rebuild", str(folder)]) == 3
        error = capsys.readouterr().err
        assert f"{tmp_path / 'shop'}: the recipe's folder is not there" in error
        assert "--folder" in error
    assert read_locked(plain, folder=tmp_path).loaded.folder == tmp_path


def test_what_cannot_be_built_again(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty").mkdir()
    other = artifact(tmp_path / "other")
    (other / "asrpack.lock").write_text('{"format": 2, "stages": {"encrypt": {}}}')
    artifact(tmp_path / "refused" / "rejected")
    strange = artifact(tmp_path / "strange", asrpack=None)
    lock = json.loads((strange / "asrpack.lock").read_bytes())
    lock["stages"] = {"import": {"components": {}}}
    (strange / "asrpack.lock").write_text(json.dumps(lock))
    changed = artifact(tmp_path / "changed")
    (changed / "recipe.yaml").write_text("schema: 1\n")
    for folder, said in (
        (tmp_path / "empty", "there is no evaluation.json"),
        (tmp_path / "none", "there is no evaluation.json"),
        (tmp_path / "refused", "rejected by its gate"),
        (other, "does not say what was built"),
        (strange, "not as this version"),
        (changed, "not the recipe that was built from"),
        (artifact(tmp_path / "bad"), "recipe.yaml"),  # nothing that it names is there
    ):
        assert main(["rebuild", str(folder)]) == 3, folder
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
    assert main(["rebuild", str(changed), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_outputs_are_found_in_the_artifact_then_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("hello")
    nodes = [
        Node(Upper(), Upper.Params(), {"text": Source(tmp_path / "in")}),
        Node(Count(), Count.Params(), {"text": Output("upper", "text")}),
    ]
    cache, digests = Cache(tmp_path / "cache"), SourceDigests()
    told: list[Event] = []
    runner = Runner("cpu", cache, digests, tmp_path / "logs", told.append)
    entries = runner.run(make_plan(nodes, cache, digests, previous={}))
    stages = {
        name: {"components": entry.components, "outputs": entry.outputs}
        for name, entry in entries.items()
    }
    folder = artifact(tmp_path / "x")
    build = replace(read_locked(folder), stages=stages)
    find = kept_outputs(build, "upper", tmp_path / "cache")
    assert find("text") == entries["upper"].path("text") and find("other") is None
    (folder / "text").write_text("HELLO")
    assert find("text") == folder / "text"
    (folder / "text").write_text("CHANGED")  # not what the lock has
    assert find("text") == entries["upper"].path("text")
    assert kept_outputs(build, "upper", tmp_path / "none")("text") is None
    assert not (tmp_path / "none").exists()
