"""Differences as people read them: what ``asrpack diff`` and ``asrpack rebuild`` print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asrpack.graph.differences import TensorDifferences
    from asrpack.pipeline.compare import Change, Comparison
    from asrpack.pipeline.rebuild import Rebuilt
    from asrpack.pipeline.stage_outcome import Outcome

# Exit code where something differs that should not, or where `diff --exit-code` asks for it.
DIFFERS = 8
_SHOWN = 8
_WIDTH = 60
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Of all that was measured, what says most.
_FIGURES = re.compile(
    r"methods\.\w+\.(cer|wer)\.candidate\.rate|size\.ratio|timing\.(candidate_rtf|speedup)"
    r"|methods\.\w+\.streaming\.(cer|wer)\.streaming\.rate|set\..*"
    r"|memory\.candidate\.peak|cold_start\.candidate\.seconds"
)


def comparison_lines(found: Comparison) -> Iterator[str]:
    """Grouped and short; ``--json`` has everything."""
    from asrpack.bundle.verify import show

    yield f"A  {found.a.title}  ({found.a.folder})"
    yield f"B  {found.b.title}  ({found.b.folder})"
    for name, changes in found.sections.items():
        first = [item for item in changes if name != "figures" or _FIGURES.fullmatch(item.path)]
        yield from map(show, _section(name, changes, first))
    if found.tensors is not None:
        yield from map(show, tensor_lines(found.tensors, found.note))
    else:
        yield f"tensors: not compared; {found.note}"


def rebuild_lines(found: Rebuilt) -> Iterator[str]:
    """What went in, then each stage, then the bundle; ``--json`` has everything."""
    from asrpack.bundle.verify import show

    yield f"{found.title}  ({found.build.folder})"
    for name, changes in found.ingredients.items():
        yield from map(show, _section(name, changes, changes))
    if found.stages is None:
        yield f"dry run: nothing was built; {'the same' if found.same else 'not the same'} goes in"
        return
    for stage in found.stages:
        yield from map(show, stage_lines(stage))
    if found.bundle is None:
        yield "bundle: not compared, as there are not two"
    else:
        for name, changes in found.bundle.items():
            yield from map(show, _section(f"bundle's {name}", changes, changes))
    if found.tensors is not None:
        yield from map(show, tensor_lines(found.tensors, "of the bundles, decrypted"))
    differing = [item.stage for item in found.stages if item.state == "differs"]
    if found.same:
        yield "rebuilt: the same, but for what no two builds share"
    else:
        yield f"rebuilt: it differs, first in {differing[0] if differing else 'the bundle'}"


def stage_lines(stage: Outcome) -> Iterator[str]:
    """One stage of a rebuild, and what of it differs."""
    taken = " (taken from --cache)" if stage.taken else ""
    cause = f": {'; '.join(stage.cause)}" if stage.cause else ""
    word = {"identical": "identical", "fresh": "same", "differs": "differs"}[stage.state]
    yield f"  {stage.stage:<10} {word}{cause}{taken}"
    yield from (f"  {line}" for line in _some(map(_line, stage.changes), len(stage.changes)))
    if stage.tensors is not None:
        yield from (f"    {line}" for line in tensor_lines(stage.tensors))
    if not stage.known:
        yield "    what it gave then is not kept: only its digest is known"


def _section(name: str, changes: Sequence[Change], first: Iterable[Change]) -> Iterator[str]:
    if not changes:
        yield f"{name}: same"
        return
    yield f"{name}: {_count(len(changes), 'difference')}"
    yield from _some(map(_line, first), len(changes))


def tensor_lines(found: TensorDifferences, note: str = "") -> Iterator[str]:
    """How many tensors differ, and those that differ most."""
    more = f" ({note})" if note else ""
    if found.same:
        yield f"tensors: same, all {found.compared}{more}"
        return
    yield f"tensors: {len(found.changed)} of {found.compared} differ{more}"
    lines = (
        f"  {item.name}: relative L2 {_number(item.relative_l2)}, "
        f"max abs {_number(item.max_abs)}, {item.fraction:.1%} of its numbers"
        for item in found.changed
    )
    yield from _some(lines, len(found.changed))
    reshaped = (f"  {name}: {a} → {b}" for name, a, b in found.reshaped)
    yield from _some(reshaped, len(found.reshaped))
    for sign, names in (("-", found.removed), ("+", found.added)):
        yield from _some((f"  {sign} {name}" for name in names), len(names))


def _some(lines: Iterable[str], total: int) -> Iterator[str]:
    shown = list(islice(lines, _SHOWN))
    yield from shown
    if total > len(shown):
        yield f"  and {total - len(shown)} more: see --json"


def _line(item: Change) -> str:
    if item.a is None:
        return f"  + {item.path}: {_text(item.b)}"
    if item.b is None:
        return f"  - {item.path}: {_text(item.a)}"
    return f"  {item.path}: {_text(item.a)} → {_text(item.b)}"


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _number(value)
    if _DIGEST.fullmatch(text):
        return text[:12]
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def _number(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
