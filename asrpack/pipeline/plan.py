"""Which stages of a build run, and why: the comparison of what is wanted with what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asrpack.errors import UsageError
from asrpack.pipeline.cache import Cache, Entry
from asrpack.pipeline.digest import digest_json
from asrpack.pipeline.node import Input, Node, Output, Records, Source, cache_key
from asrpack.pipeline.records import stage_records


@dataclass(frozen=True)
class Step:
    """One line of a plan. ``key`` and ``components`` are None until all inputs are known."""

    node: Node
    status: Literal["cached", "run"]
    reason: str
    key: str | None = None
    components: Mapping[str, Any] | None = None
    entry: Entry | None = None


class SourceDigests:
    """Digests of the user's files, each read once a command."""

    def __init__(self) -> None:
        self._known: dict[Source, str] = {}

    def __call__(self, source: Source) -> str:
        if source not in self._known:
            self._known[source] = source.digest()
        return self._known[source]


def resolve(
    node: Node, done: Mapping[str, Entry], digests: SourceDigests
) -> tuple[str, dict[str, Any]]:
    """Key and components of a node all of whose inputs are known."""
    inputs = {
        name: done[ref.stage].outputs[ref.name] if isinstance(ref, Output) else digests(ref)
        for name, ref in node.inputs.items()
        if not isinstance(ref, Records)
    }
    records = {
        name: digest_json(node_records(node, ref, done, digests))
        for name, ref in node.inputs.items()
        if isinstance(ref, Records)
    }
    components = node.components(inputs | records)
    return cache_key(components), components


def node_records(
    node: Node, ref: Records, done: Mapping[str, Entry], digests: SourceDigests
) -> dict[str, Any]:
    """The contents of a node's input of records."""
    sources = {
        name: digests(item) for name, item in node.inputs.items() if isinstance(item, Source)
    }
    return stage_records(ref.stages, done, sources)


def make_plan(
    nodes: Sequence[Node],
    cache: Cache,
    digests: SourceDigests,
    *,
    previous: Mapping[str, Mapping[str, Any]],
    force: Sequence[str] = (),
) -> list[Step]:
    """What a build of ``nodes`` (in topological order) would do now.

    Args:
        previous: the components of each stage at the artifact's last build, to tell what changed.
        force: stages that run even if cached.
    """
    check_names(nodes, force, "--force")
    done: dict[str, Entry] = {}
    steps = []
    for node in nodes:
        step = _step(node, done, cache, digests, previous.get(node.name), node.name in force)
        if step.entry is not None and step.status == "cached":
            done[node.name] = step.entry
        steps.append(step)
    return steps


def _step(
    node: Node,
    done: Mapping[str, Entry],
    cache: Cache,
    digests: SourceDigests,
    previous: Mapping[str, Any] | None,
    forced: bool,
) -> Step:
    waits = [
        f"{name} comes from {stage}, which runs"
        for name, ref in node.inputs.items()
        for stage in _stages(ref)
        if stage not in done
    ]
    if forced:
        return Step(node, "run", "--force")
    if waits:
        return Step(node, "run", waits[0])
    key, components = resolve(node, done, digests)
    entry = cache.find(node.name, key)
    if entry is not None:
        return Step(node, "cached", "nothing that it depends on changed", key, components, entry)
    return Step(node, "run", _why(previous, components), key, components)


def _why(previous: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    if previous is None:
        return "it was not built before"
    changes = list(component_changes(previous, now))
    return "; ".join(changes) if changes else "its cached result is gone or damaged"


def component_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """In what two sets of components of one stage differ, in words."""
    if before["revision"] != now["revision"]:
        yield "asrpack's own stage changed"
    for kind, noun in (("params", ""), ("inputs", "input "), ("tools", ""), ("secrets", "key ")):
        for name in sorted(set(before[kind]) | set(now[kind])):
            old, new = before[kind].get(name), now[kind].get(name)
            if old != new:
                shown = kind in ("params", "tools") and len(f"{old}{new}") < 60
                yield f"{noun}{name} changed" + (f" from {old} to {new}" if shown else "")


def upto(nodes: Sequence[Node], until: str | None) -> list[Node]:
    """The nodes that ``--until`` needs, it included, in order."""
    if until is None:
        return list(nodes)
    check_names(nodes, [until], "--until")
    by_name = {node.name: node for node in nodes}
    needed: set[str] = set()
    todo = [until]
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo += [stage for ref in by_name[name].inputs.values() for stage in _stages(ref)]
    return [node for node in nodes if node.name in needed]


def _stages(ref: Input) -> tuple[str, ...]:
    """Those that must have run before an input is there."""
    if isinstance(ref, Records):
        return ref.stages
    return (ref.stage,) if isinstance(ref, Output) else ()


def check_names(nodes: Sequence[Node], names: Sequence[str], option: str) -> None:
    known = [node.name for node in nodes]
    for name in names:
        if name not in known:
            raise UsageError(
                f"there is no stage {name!r}",
                code="unknown-stage",
                place=option,
                remedy=f"name one of: {', '.join(known)}",
            )
