"""When a build's own evaluation says of fp32 what a customer's would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from asrpack.pipeline.cache import Entry
from asrpack.pipeline.digest import digest_path
from asrpack.pipeline.known_baseline import known_baseline
from asrpack.pipeline.locked import Locked
from asrpack.pipeline.node import Node, Output, Source
from asrpack.pipeline.plan import SourceDigests, resolve
from asrpack.stages.evaluate import Evaluate, EvaluateParams

PARTS = ("description", "baseline", "candidate")


def entries(folder: Path, **digests: str) -> dict[str, Entry]:
    return {
        name: Entry(folder, {}, {"out": digests.get(name, name[0] * 64)}, 0.0) for name in PARTS
    }


@pytest.fixture
def node(tmp_path: Path) -> Node:
    (tmp_path / "test.jsonl").write_text("{}")
    inputs = {name: Output(name, "out") for name in PARTS}
    manifest = Source(tmp_path / "test.jsonl")
    return Node(Evaluate(), EvaluateParams(), {**inputs, "manifest": manifest})


@pytest.fixture
def built(node: Node, tmp_path: Path) -> Locked:
    """An artifact whose evaluation was made of :func:`entries`."""
    path = tmp_path / "evaluation.json"
    path.write_text("{}")
    _, components = resolve(node, entries(tmp_path), SourceDigests())
    outputs = {"evaluation.json": digest_path(path)}
    stages = {"evaluate": {"components": components, "outputs": outputs}}
    return Locked(tmp_path, cast(Any, None), "cpu", stages, {})


def test_another_candidate_has_the_same_baseline(node: Node, built: Locked) -> None:
    without = {name: item for name, item in entries(built.folder).items() if name != "candidate"}
    found = known_baseline(built, node, without, SourceDigests())
    assert found == {"evaluate": built.folder / "evaluation.json"}


def _other_weights(node: Node, built: Locked) -> tuple[Node, Locked, dict[str, Entry]]:
    return node, built, entries(built.folder, baseline="0" * 64)


def _other_methods(node: Node, built: Locked) -> tuple[Node, Locked, dict[str, Entry]]:
    params = EvaluateParams(methods=("ctc_greedy_search",))
    return replace(node, params=params), built, entries(built.folder)


def _other_set(node: Node, built: Locked) -> tuple[Node, Locked, dict[str, Entry]]:
    (built.folder / "test.jsonl").write_text("{ }")
    return node, built, entries(built.folder)


def _changed_by_hand(node: Node, built: Locked) -> tuple[Node, Locked, dict[str, Entry]]:
    (built.folder / "evaluation.json").write_text("{ }")
    return node, built, entries(built.folder)


def _not_evaluated(node: Node, built: Locked) -> tuple[Node, Locked, dict[str, Entry]]:
    return node, replace(built, stages={}), entries(built.folder)


@pytest.mark.parametrize(
    "change", [_other_weights, _other_methods, _other_set, _changed_by_hand, _not_evaluated]
)
def test_any_other_change_is_evaluated_anew(
    node: Node, built: Locked, change: Callable[..., tuple[Node, Locked, dict[str, Entry]]]
) -> None:
    given, locked, found = change(node, built)
    assert known_baseline(locked, given, found, SourceDigests()) == {}
