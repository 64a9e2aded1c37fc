"""``plan`` and ``build``: a recipe's builds, one after the other, into artifacts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from asrpack.bundle.provider import measured_in_words
from asrpack.errors import GateError, ToolchainError, UsageError
from asrpack.pipeline.artifact import Artifact
from asrpack.pipeline.cache import Cache, Entry, default_root
from asrpack.pipeline.check import Checked, check_recipe
from asrpack.pipeline.compose import compose
from asrpack.pipeline.compose_provider import check_measurable
from asrpack.pipeline.events import Event, Listener
from asrpack.pipeline.fetch import load_with_model
from asrpack.pipeline.node import Node
from asrpack.pipeline.plan import SourceDigests, Step, check_names, make_plan, upto
from asrpack.pipeline.results import lock_record, place_accepted, place_original, place_rejected
from asrpack.pipeline.runner import Runner
from asrpack.recipe.load import LoadedRecipe
from asrpack.report.html import REPORT
from asrpack.report.numbers import megabytes, seconds
from asrpack.report.results import REJECTED
from asrpack.report.search_table import search_table
from asrpack.stages.quantize import KEPT

# A build keeps about eight copies of the weights: inputs, Paddle, ONNX before and after each stage.
COPIES_OF_WEIGHTS = 8
DISK_RESERVE = 256 << 20
MAX_NAMED = 3
# Makes the lock of the stages that have run.
Lock = Callable[[Mapping[str, Entry]], Mapping[str, Any]]


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        folder: what the recipe's paths are relative to; without it, the folder it is in.
        cache: without it, the user's.
    """

    recipe: Path
    build: str | None = None
    out: Path = Path("artifacts")
    overrides: tuple[str, ...] = ()
    until: str | None = None
    force: tuple[str, ...] = ()
    folder: Path | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class _Job:
    name: str
    recipe: bytes
    nodes: list[Node]
    artifact: Artifact


def plan_builds(request: Request) -> dict[str, list[Step]]:
    """The plan of each build; runs and writes nothing."""
    loaded = load_with_model(request.recipe, request.overrides, folder=request.folder)
    checked = check_recipe(loaded)
    cache, digests = Cache(request.cache or default_root()), SourceDigests()
    jobs = _jobs(loaded, checked, request)
    plans = {}
    for job in jobs:
        plans[job.name] = _plan(job, request, cache, digests)
        _check_provider(loaded, job.name, plans[job.name])
    return plans


def run_builds(request: Request, listen: Listener) -> None:
    """Builds; every artifact is whole when this returns.

    Raises:
        GateError: a candidate did not meet the gate; it is kept under ``rejected/``.
        AsrpackError: as the stage raised it; what was done so far is in the cache.
    """
    loaded = load_with_model(request.recipe, request.overrides, folder=request.folder)
    checked = check_recipe(loaded)
    cache, digests = Cache(request.cache or default_root()), SourceDigests()
    cache.sweep()
    for job in _jobs(loaded, checked, request):
        listen(Event("build", job.name, text=f"build {job.name} → {job.artifact.folder}"))
        with job.artifact.exclusive():
            steps = _plan(job, request, cache, digests)
            check_tools(steps)
            _check_provider(loaded, job.name, steps)
            _check_disk(checked, steps, cache, job.artifact)
            runner = Runner(job.name, cache, digests, job.artifact.logs, listen)
            lock = partial(lock_record, loaded, checked, job.name, digests, job.artifact.folder)
            entries = runner.run(
                steps,
                force=request.force,
                after=partial(_look_at, job, lock, runner.entries, listen),
            )
            listen(_finish(job, lock, entries))


def _jobs(loaded: LoadedRecipe, checked: Checked, request: Request) -> Iterator[_Job]:
    builds = loaded.recipe.builds
    if request.build is not None and request.build not in builds:
        raise UsageError(
            f"the recipe has no build {request.build!r}",
            code="unknown-build",
            place="--build",
            remedy=f"name one of: {', '.join(builds)}",
        )
    for name in [request.build] if request.build else builds:
        folder = request.out / f"{loaded.recipe.name}-{loaded.recipe.version}-{name}"
        nodes = compose(loaded, checked, name)
        check_names(nodes, request.force, "--force")
        yield _Job(name, loaded.data, upto(nodes, request.until), Artifact(folder))


def _plan(job: _Job, request: Request, cache: Cache, digests: SourceDigests) -> list[Step]:
    return make_plan(
        job.nodes, cache, digests, previous=job.artifact.previous(), force=request.force
    )


def check_tools(steps: list[Step]) -> None:
    """Names a missing package before the first stage, not when its own stage comes."""
    for step in steps:
        if step.status == "run" and (missing := step.node.missing_tools):
            extra = "paddlespeech" if "paddlespeech" in missing else "build"
            raise ToolchainError(
                f"not installed: {', '.join(missing)}",
                code="tools-missing",
                place=f"stage {step.node.name}",
                remedy=f"pip install 'asrpack[{extra}]'",
            )


def _check_provider(loaded: LoadedRecipe, build: str, steps: list[Step]) -> None:
    """A GPU that is not there stops a build that would measure on it before its first stage."""
    if any(step.node.name == "evaluate" and step.status == "run" for step in steps):
        check_measurable(loaded, build)


def _check_disk(checked: Checked, steps: list[Step], cache: Cache, artifact: Artifact) -> None:
    """Fails before the first stage rather than in the middle of the last."""
    runs = sum(step.status == "run" for step in steps)
    if not runs:
        return
    weights = sum(item.stat().st_size for item in checked.model.files)
    needed = DISK_RESERVE + weights * COPIES_OF_WEIGHTS * runs // len(steps)
    for folder in (cache.root, artifact.folder):
        if (free := shutil.disk_usage(folder).free) < needed:
            raise ToolchainError(
                f"{free >> 20} MiB are free, the build needs about {needed >> 20} MiB",
                code="disk-full",
                place=str(folder),
                remedy="free space, or have it on a larger disk: ASRPACK_CACHE and --out say where "
                "a build goes, --cache and TMPDIR a rebuild",
            )


def _look_at(
    job: _Job,
    lock: Lock,
    entries: Mapping[str, Entry],
    listen: Listener,
    stage: str,
    entry: Entry,
) -> None:
    """What a build itself does with a stage's result."""
    if stage == "search":
        found = json.loads(entry.path("search.json").read_bytes())
        listen(Event("note", job.name, stage, search_table(found)))
    if stage == "gate":
        _check_gate(job, lock, entries, entry)


def _check_gate(job: _Job, lock: Lock, entries: Mapping[str, Entry], entry: Entry) -> None:
    verdict = json.loads(entry.path("gate.json").read_bytes())
    if verdict["ok"]:
        job.artifact.discard(REJECTED)
        return
    kept = place_rejected(job.artifact, lock(entries), job.recipe, entries)
    raise GateError(
        "; ".join(check["reason"] for check in verdict["checks"] if not check["ok"]),
        code="gate",
        place=f"build {job.name}",
        remedy=f"read {kept / REPORT}; choose a higher precision, exclude the layers that suffer, "
        "or change the recipe's gate",
    )


def _finish(job: _Job, lock: Lock, entries: Mapping[str, Entry]) -> Event:
    artifact = job.artifact
    last = job.nodes[-1]
    if last.name != "seal":
        folder = entries[last.name].folder / "out"
        return Event("result", job.name, last.name, f"stopped after {last.name}: {folder}")
    place_accepted(artifact, lock(entries), job.recipe, entries)
    place_original(artifact, entries)
    for stage in ("export", "import"):
        if stage in entries and "paddle" in entries[stage].outputs:
            artifact.place(entries[stage].path("paddle"), "paddle")
            # With it, `source: paddle` takes the folder back in.
            artifact.place(entries["import"].path("model.json"), "paddle/model.json")
    bundle = artifact.place(entries["seal"].path("bundle"), "bundle")
    evaluation = json.loads(entries["evaluate"].path("evaluation.json").read_bytes())
    kept = []
    if KEPT in entries["quantize"].outputs:
        kept = json.loads(entries["quantize"].path(KEPT).read_bytes())
    return Event("result", job.name, last.name, _summary(bundle, evaluation, kept))


def _summary(bundle: Path, evaluation: Mapping[str, Any], kept: Sequence[Mapping[str, Any]]) -> str:
    size, timing = evaluation["size"], evaluation["timing"]
    utterances = evaluation["set"]["utterances"]
    lines = [
        f"{method}: {_rates(rates)} on {utterances} utterances"
        for method, rates in evaluation["methods"].items()
    ]
    for method, rates in evaluation["methods"].items():
        if streaming := rates.get("streaming"):
            figures = _rates(streaming, ("streaming", "whole"))
            lines.append(f"{method}, streaming: {figures}")
    for method, same in evaluation.get("paddlespeech", {}).get("candidate", {}).items():
        lines.append(f"{method}: {same['identical']} of {utterances} texts are PaddleSpeech's own")
    if kept:
        named = ", ".join(f"{item['graph']}/{item['tensor']}" for item in kept[:MAX_NAMED])
        more = f" and {len(kept) - MAX_NAMED} more" if len(kept) > MAX_NAMED else ""
        lines.append(f"fp32, as fp16 does not hold them: {named}{more} ({KEPT})")
    if provider := evaluation.get("provider"):
        lines.append(measured_in_words(provider))
    lines += [
        f"{size['bytes']['candidate'] / 1e6:.1f} MB, {size['ratio']:.0%} of fp32; "
        f"RTF {timing['candidate_rtf']:.4f}, {timing['speedup']:.2f}x fp32",
        *_footprint(evaluation),
        f"report: {bundle.with_name(REPORT)}",
        f"bundle: {bundle}",
        f"next: asrpack verify {bundle} --trust PUBLIC_KEY",
    ]
    return "\n".join(f"  {line}" for line in lines)


def _footprint(evaluation: Mapping[str, Any]) -> list[str]:
    if "memory" not in evaluation:
        return []
    memory, start = evaluation["memory"], evaluation["cold_start"]
    return [
        f"peak memory {megabytes(memory['candidate']['peak'])} "
        f"(fp32 {megabytes(memory['baseline']['peak'])}); "
        f"cold start {seconds(start['candidate']['seconds'])} "
        f"(fp32 {seconds(start['baseline']['seconds'])})"
    ]


def _rates(rates: Mapping[str, Any], names: tuple[str, str] = ("candidate", "baseline")) -> str:
    other = {"baseline": "fp32", "whole": "whole recordings"}[names[1]]
    return ", ".join(
        f"{metric.upper()} {rates[metric][names[0]]['rate']:.2%} "
        f"({other} {rates[metric][names[1]]['rate']:.2%})"
        for metric in ("cer", "wer")
    )
