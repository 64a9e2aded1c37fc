"""What one stage gave when it was built again, held against what it gave then."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asrpack.pipeline.compare import Change, changes
from asrpack.pipeline.digest import digest_file
from asrpack.pipeline.node import Node, Output, Records
from asrpack.pipeline.plan import component_changes
from asrpack.pipeline.side import flat
from asrpack.report.results import read_result

if TYPE_CHECKING:
    from asrpack.graph.differences import TensorDifferences
    from asrpack.graph.stored import Stored

State = Literal["identical", "fresh", "differs"]
Locked = Mapping[str, Any]
"""A stage in ``asrpack.lock``: ``components`` and ``outputs``."""
Find = Callable[[str], Path | None]
"""Where an output of a stage is, by its name; None where it is kept nowhere."""
# What an artifact has in a folder besides the stage's output.
_BESIDE = "model.json"


@dataclass(frozen=True)
class Outcome:
    """One stage.

    Attributes:
        state: ``fresh``: the same but for what no two runs agree on.
        cause: of ``fresh``, what that is; of ``differs``, what of all that went in does.
        changes: files by digest, or values of JSON by path.
        tensors: None where they were not compared.
        known: whether all outputs of then are still there; else only their digests are known.
        taken: from a cache: nothing was run.
    """

    stage: str
    state: State
    cause: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    tensors: TensorDifferences | None = None
    known: bool = True
    taken: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            "stage": self.stage,
            "state": self.state,
            "cause": list(self.cause),
            "changes": [item.as_dict() for item in self.changes],
            "tensors": None if self.tensors is None else self.tensors.as_dict(),
            "known": self.known,
            "from_cache": self.taken,
        }


def outcome(
    node: Node,
    then: Locked | None,
    now: Locked | None,
    find: tuple[Find, Find],
    *,
    fresh: Set[str],
    taken: bool = False,
) -> Outcome:
    """Compares a stage's outputs.

    Args:
        then, now: as the two locks have it; None where one build had no such stage.
        find: where each build's outputs are. They are read only where digests differ.
        fresh: names of the stages that hold something fresh.
    """
    if then is None or now is None:
        return Outcome(node.name, "differs", ("ran in one of the two builds only",))
    if then["outputs"] == now["outputs"]:
        return Outcome(node.name, "identical", taken=taken)
    went_in = [_lasting_components(node, item["components"], fresh) for item in (then, now)]
    cause = tuple(component_changes(*went_in))
    if not node.stage.fresh:
        return _output_changes(node, then, now, find, cause, taken)
    if node.stage.measured is None:
        # Encrypted, or around what is: what went in is what can be the same.
        found = changes(
            *(flat({"input": item["inputs"], "parameter": item["params"]}) for item in went_in)
        )
    else:
        found = _lasting_values(node.stage.measured, then, now, find)
    if found:
        return Outcome(node.name, "differs", cause, found, taken=taken)
    return Outcome(node.name, "fresh", (node.stage.fresh,), taken=taken)


def _lasting_components(
    node: Node, components: Mapping[str, Any], fresh: Set[str]
) -> dict[str, Any]:
    """Components without the inputs in which something is fresh."""
    inputs = {
        name: digest
        for name, digest in components["inputs"].items()
        if not isinstance(ref := node.inputs.get(name), Records)
        and not (isinstance(ref, Output) and ref.stage in fresh)
    }
    return {**components, "inputs": inputs}


def _lasting_values(
    measured: str, then: Locked, now: Locked, find: tuple[Find, Find]
) -> tuple[Change, ...]:
    """Values of JSON that differ and were not ``measured`` anew."""
    found: list[Change] = []
    for output in sorted(then["outputs"].keys() | now["outputs"].keys()):
        paths = [lookup(output) for lookup in find]
        if paths[0] is None or paths[1] is None:
            found.append(Change(output, then["outputs"].get(output), now["outputs"].get(output)))
        else:
            found += changes(flat(read_result(paths[0])), flat(read_result(paths[1])))
    return tuple(item for item in found if not re.fullmatch(measured, item.path))


def _output_changes(
    node: Node,
    then: Locked,
    now: Locked,
    find: tuple[Find, Find],
    cause: tuple[str, ...],
    taken: bool,
) -> Outcome:
    found: list[Change] = []
    tensors: TensorDifferences | None = None
    known = True
    for item in changes(then["outputs"], now["outputs"]):
        paths = [lookup(item.path) for lookup in find]
        if paths[0] is None or paths[1] is None:
            known = False
            found.append(item)
            continue
        found += _file_changes(item, paths[0], paths[1])
        tensors = tensors or _tensor_changes(paths[0], paths[1])
    return Outcome(node.name, "differs", cause, tuple(found), tensors, known, taken)


def _file_changes(item: Change, a: Path, b: Path) -> Iterator[Change]:
    if a.is_dir() and b.is_dir():
        files = [
            {f"{item.path}/{path.relative_to(top).as_posix()}": digest_file(path)
             for path in sorted(top.rglob("*")) if path.is_file()}
            for top in (a, b)
        ]  # fmt: skip
        if (beside := f"{item.path}/{_BESIDE}") not in files[1]:
            files[0].pop(beside, None)
        yield from changes(*files)
    elif a.suffix == ".json" and a.is_file() and b.is_file():
        try:
            values = [flat({item.path: json.loads(path.read_bytes())}) for path in (a, b)]
        except (ValueError, RecursionError):
            yield item
        else:
            yield from changes(*values)
    else:
        yield item


def _tensor_changes(a: Path, b: Path) -> TensorDifferences | None:
    """None where the two hold no tensors of one kind."""
    from asrpack.graph.differences import tensor_differences

    with ExitStack() as stack:
        kinds, tensors = zip(*(stack.enter_context(_tensors(path)) for path in (a, b)), strict=True)
        if kinds[0] is None or kinds[0] != kinds[1]:
            return None
        return tensor_differences(*tensors)


@contextmanager
def _tensors(path: Path) -> Iterator[tuple[str | None, dict[str, Stored]]]:
    from asrpack.graph.stored import Stored, graph_format, mapped, stored_tensors
    from asrpack.measure.compare import load_arrays

    if path.is_dir():
        with mapped(path) as files:
            kind = graph_format(files)
            yield kind, stored_tensors(files) if kind else {}
    elif path.suffix == ".npz":
        yield (
            "npz",
            {
                name: Stored(str(array.dtype), array.shape, lambda array=array: array)  # type: ignore[misc]
                for name, array in load_arrays(path).items()
            },
        )
    else:
        yield None, {}
