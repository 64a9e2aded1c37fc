"""``plan`` and ``build``: a recipe's builds, one after the other, into artifacts."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrpack import __version__
from asrpack.errors import GateError, ToolchainError, UsageError
from asrpack.pipeline.artifact import Artifact
from asrpack.pipeline.cache import Cache, Entry, default_root
from asrpack.pipeline.check import Checked, check_recipe
from asrpack.pipeline.compose import compose
from asrpack.pipeline.events import Event, Listener
from asrpack.pipeline.fetch import load_with_model
from asrpack.pipeline.node import Node
from asrpack.pipeline.plan import SourceDigests, Step, check_names, make_plan, upto
from asrpack.pipeline.runner import Runner
from asrpack.recipe.load import LoadedRecipe

# A build keeps about eight copies of the weights: inputs, Paddle, ONNX before and after each stage.
COPIES_OF_WEIGHTS = 8
DISK_RESERVE = 256 << 20


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    recipe: Path
    build: str | None = None
    out: Path = Path("artifacts")
    overrides: tuple[str, ...] = ()
    until: str | None = None
    force: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    name: str
    nodes: list[Node]
    artifact: Artifact


def plan_builds(request: Request) -> dict[str, list[Step]]:
    """The plan of each build; runs and writes nothing."""
    loaded = load_with_model(request.recipe, request.overrides)
    checked = check_recipe(loaded)
    cache, digests = Cache(default_root()), SourceDigests()
    jobs = _jobs(loaded, checked, request)
    return {job.name: _plan(job, request, cache, digests) for job in jobs}


def run_builds(request: Request, listen: Listener) -> None:
    """Builds; every artifact is whole when this returns.

    Raises:
        GateError: a candidate did not meet the gate; it is kept under ``rejected/``.
        AsrpackError: as the stage raised it; what was done so far is in the cache.
    """
    loaded = load_with_model(request.recipe, request.overrides)
    checked = check_recipe(loaded)
    cache, digests = Cache(default_root()), SourceDigests()
    cache.sweep()
    for job in _jobs(loaded, checked, request):
        listen(Event("build", job.name, text=f"build {job.name} → {job.artifact.folder}"))
        with job.artifact.exclusive():
            steps = _plan(job, request, cache, digests)
            _check_tools(steps)
            _check_disk(checked, steps, cache, job.artifact)
            runner = Runner(job.name, cache, digests, job.artifact.logs, listen)
            entries = runner.run(
                steps,
                force=request.force,
                after=lambda stage, entry, job=job, runner=runner: _check_gate(  # type: ignore[misc]
                    stage, entry, job, runner.entries
                ),
            )
            listen(_finish(job, loaded, request, entries))


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
        yield _Job(name, upto(nodes, request.until), Artifact(folder))


def _plan(job: _Job, request: Request, cache: Cache, digests: SourceDigests) -> list[Step]:
    return make_plan(
        job.nodes, cache, digests, previous=job.artifact.previous(), force=request.force
    )


def _check_tools(steps: list[Step]) -> None:
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
                remedy="free space, or set ASRPACK_CACHE and --out to a larger disk",
            )


def _check_gate(stage: str, entry: Entry, job: _Job, entries: Mapping[str, Entry]) -> None:
    if stage != "gate":
        return
    verdict = json.loads(entry.path("gate.json").read_bytes())
    if verdict["ok"]:
        job.artifact.discard("rejected")
        return
    _place_results(job.artifact, entries, "rejected/")
    candidate = entries.get("watermark", entries["quantize"])
    (kind,) = set(candidate.outputs) - {"mark.json"}
    kept = job.artifact.place(candidate.path(kind), f"rejected/{kind}")
    # A bundle of an earlier, accepted build must not pass for this one's.
    job.artifact.discard("bundle")
    failed = [
        f"{check['name']} is {check['measured']:.4g}, the gate wants {check['relation']} "
        f"{check['limit']:.4g}"
        for check in verdict["checks"]
        if not check["ok"]
    ]
    raise GateError(
        "; ".join(failed),
        code="gate",
        place=f"build {job.name}",
        remedy=f"the candidate and its evaluation are in {kept.parent}; choose a higher precision, "
        "exclude the layers that suffer, or change the recipe's gate",
    )


def _place_results(artifact: Artifact, entries: Mapping[str, Entry], prefix: str) -> None:
    if prefix:
        (artifact.folder / prefix).mkdir(exist_ok=True)
    artifact.place(entries["evaluate"].path("evaluation.json"), f"{prefix}evaluation.json")
    artifact.place(entries["gate"].path("gate.json"), f"{prefix}gate.json")


def _finish(
    job: _Job, loaded: LoadedRecipe, request: Request, entries: Mapping[str, Entry]
) -> Event:
    artifact = job.artifact
    last = job.nodes[-1]
    if last.name != "seal":
        folder = entries[last.name].folder / "out"
        return Event("result", job.name, last.name, f"stopped after {last.name}: {folder}")
    artifact.write_lock(
        {
            "sha256": loaded.digest,
            "overrides": list(request.overrides),
            "build": job.name,
            "asrpack": __version__,
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        {
            name: {"components": entry.components, "outputs": entry.outputs}
            for name, entry in entries.items()
        },
    )
    _place_results(artifact, entries, "")
    for stage in ("export", "import"):
        if stage in entries and "paddle" in entries[stage].outputs:
            artifact.place(entries[stage].path("paddle"), "paddle")
            # With it, `source: paddle` takes the folder back in.
            artifact.place(entries["import"].path("model.json"), "paddle/model.json")
    bundle = artifact.place(entries["seal"].path("bundle"), "bundle")
    evaluation = json.loads(entries["evaluate"].path("evaluation.json").read_bytes())
    return Event("result", job.name, last.name, _summary(bundle, evaluation))


def _summary(bundle: Path, evaluation: Mapping[str, Any]) -> str:
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
    lines += [
        f"{size['bytes']['candidate'] / 1e6:.1f} MB, {size['ratio']:.0%} of fp32; "
        f"RTF {timing['candidate_rtf']:.4f}, {timing['speedup']:.2f}x fp32",
        f"bundle: {bundle}",
        f"next: asrpack verify {bundle} --trust PUBLIC_KEY",
    ]
    return "\n".join(f"  {line}" for line in lines)


def _rates(rates: Mapping[str, Any], names: tuple[str, str] = ("candidate", "baseline")) -> str:
    other = {"baseline": "fp32", "whole": "whole recordings"}[names[1]]
    return ", ".join(
        f"{metric.upper()} {rates[metric][names[0]]['rate']:.2%} "
        f"({other} {rates[metric][names[1]]['rate']:.2%})"
        for metric in ("cer", "wer")
    )
