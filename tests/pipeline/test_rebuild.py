"""``rebuild``: what counts as the same, what is named where it is not; and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from asrpack.cli import main
from asrpack.cli.differences import stage_lines
from asrpack.errors import InputError
from asrpack.pipeline.cache import Cache
from asrpack.pipeline.digest import digest_path
from asrpack.pipeline.events import Event
from asrpack.pipeline.locked import LockedBuild, kept_outputs
from asrpack.pipeline.node import Node, Output, Source
from asrpack.pipeline.plan import SourceDigests, make_plan
from asrpack.pipeline.runner import Runner
from asrpack.pipeline.stage_outcome import Outcome, outcome
from asrpack.stages.encrypt import Encrypt
from asrpack.stages.evaluate import Evaluate
from tests.pipeline.sample_stages import Count, Upper
from tests.runtime import tiny

Find = Callable[[str], Path | None]


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
    """A lock and a recipe beside it, of a build that its gate rejected."""
    told = {
        "name": "x", "version": "1", "build": "cpu", "sha256": "0" * 64, "folder": "..",
        "overrides": [], "asrpack": "0.1.0", "python": "3.11.0", "file": "recipe.yaml",
    }  # fmt: skip
    lock = {"format": 2, "recipe": told | recipe, "sources": {}, "stages": {}}
    where.mkdir(parents=True)
    (where / "asrpack.lock").write_text(json.dumps(lock))
    (where / "recipe.yaml").write_text("schema: 1\n")
    return where


def test_the_recipes_folder_is_found_from_the_artifact(tmp_path: Path) -> None:
    plain = artifact(tmp_path / "out" / "x-1-cpu", folder="../../shop")
    rejected = artifact(tmp_path / "out" / "y-1-cpu" / "rejected", folder="../../shop")
    with pytest.raises(InputError, match="folder is not there") as caught:
        LockedBuild.read(plain)
    assert caught.value.place == str(tmp_path / "shop") and "--folder" in str(caught.value.remedy)
    assert LockedBuild.read(plain, tmp_path).base == tmp_path
    (tmp_path / "shop").mkdir()
    assert LockedBuild.read(plain).base == LockedBuild.read(rejected).base == tmp_path / "shop"


def test_what_cannot_be_built_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    broken = artifact(tmp_path / "broken", sha256=None)
    (broken / "asrpack.lock").write_text('{"format": 2, "stages": {"encrypt": {}}}')
    artifact(tmp_path / "refused" / "rejected")
    bad = artifact(tmp_path / "bad")
    for folder, said in (
        (tmp_path / "empty", "there is no asrpack.lock"),
        (tmp_path / "none", "there is no asrpack.lock"),
        (broken, "not as this version"),
        (tmp_path / "refused", "asrpack rebuild"),
        (bad, "recipe.yaml"),
    ):
        assert main(["rebuild", str(folder)]) == 3, folder
        error = capsys.readouterr().err
        assert said in error and "Traceback" not in error
    assert main(["rebuild", str(bad), "--json"]) == 3
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
    build = LockedBuild(folder, {"stages": stages}, folder / "recipe.yaml", tmp_path)
    find = kept_outputs(build, "upper", tmp_path / "cache")
    assert find("text") == entries["upper"].path("text") and find("other") is None
    (folder / "text").write_text("HELLO")
    assert find("text") == folder / "text"
    (folder / "text").write_text("CHANGED")  # not what the lock has
    assert find("text") == entries["upper"].path("text")
    assert kept_outputs(build, "upper", tmp_path / "none")("text") is None
    assert not (tmp_path / "none").exists()
