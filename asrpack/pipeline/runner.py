"""Runs the stages of one build: from the cache where it can, else in this process or a worker."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from asrpack.errors import AsrpackError, ToolchainError
from asrpack.pipeline.cache import Cache, Entry
from asrpack.pipeline.digest import canonical
from asrpack.pipeline.events import Event, Listener
from asrpack.pipeline.node import Input, Node, Output, Records
from asrpack.pipeline.plan import SourceDigests, Step, node_records, resolve
from asrpack.pipeline.worker import run_isolated
from asrpack.stages.stage import Context


class Runner:
    """Runs steps in order.

    Args:
        logs: folder that gets ``<stage>.log`` of every stage that ran, also where it failed.
        entries: what ran before, by stage; what runs is added to it.
        known: by stage, as in :class:`Context`.
    """

    def __init__(
        self,
        build: str,
        cache: Cache,
        digests: SourceDigests,
        logs: Path,
        listen: Listener,
        entries: dict[str, Entry] | None = None,
        known: Mapping[str, Path] | None = None,
    ) -> None:
        self._build = build
        self._cache = cache
        self._digests = digests
        self._logs = logs
        self._listen = listen
        self.entries: dict[str, Entry] = {} if entries is None else entries
        self._known = known or {}

    def run(
        self,
        steps: Sequence[Step],
        *,
        force: Sequence[str] = (),
        after: Callable[[str, Entry], None] = lambda stage, entry: None,
    ) -> dict[str, Entry]:
        """Runs every step; ``after`` is called with each stage's entry and may stop the build."""
        for step in steps:
            entry = step.entry if step.status == "cached" else None
            if entry is not None:
                self._tell("cached", step.node)
            else:
                entry = self._produce(step, step.node.name in force)
            self.entries[step.node.name] = entry
            after(step.node.name, entry)
        return self.entries

    def _tell(self, kind: str, node: Node, text: str = "", **more: float) -> None:
        self._listen(Event(kind, self._build, node.name, text, **more))  # type: ignore[arg-type]

    def _produce(self, step: Step, forced: bool) -> Entry:
        node = step.node
        key, components = resolve(node, self.entries, self._digests)
        waiting = lambda: self._tell("note", node, f"  {node.name} waits for another build")  # noqa: E731
        with self._cache.lock(key, waiting):
            # An input's bytes may be as before although its stage ran, and another build may have
            # been faster.
            if not forced and (entry := self._cache.find(node.name, key)) is not None:
                self._tell("cached", node)
                return entry
            self._tell("start", node, step.reason)
            with self._cache.workspace(key) as workspace:
                began = time.perf_counter()
                try:
                    self._execute(node, key, workspace)
                    self._check_outputs(node, workspace / "out")
                except BaseException as error:
                    self._tell("failed", node)
                    if isinstance(error, AsrpackError):
                        self._keep_log(node, workspace, error)
                    raise
                seconds = time.perf_counter() - began
                self._keep_log(node, workspace, None)
                entry = self._cache.store(
                    workspace, node.name, key, components, seconds, node.stage.outputs
                )
            self._tell("done", node, seconds=entry.seconds)
            return entry

    def _execute(self, node: Node, key: str, workspace: Path) -> None:
        inputs = {
            name: self._place(node, name, ref, workspace) for name, ref in node.inputs.items()
        }
        progress = lambda done, total, text: self._tell(  # noqa: E731
            "progress", node, text, done=done, total=total
        )
        scratch = self._cache.scratch(key) if node.stage.resumes else None
        if node.stage.isolated:
            context = Context(progress, scratch=scratch, known=self._known.get(node.name))
            run_isolated(node.stage, node.params, inputs, workspace, context)
        else:
            secrets: Mapping[str, bytes] = {
                name: source.read() for name, source in node.secrets.items()
            }
            out = workspace / "out"
            try:
                node.stage.run(node.params, inputs, out, Context(progress, secrets, scratch))
            except OSError as error:
                raise _disk_error(node, error) from error

    def _place(self, node: Node, name: str, ref: Input, workspace: Path) -> Path:
        """Where an input is."""
        if isinstance(ref, Output):
            return self.entries[ref.stage].path(ref.name)
        if not isinstance(ref, Records):
            return ref.path
        folder = workspace / "records"
        folder.mkdir(exist_ok=True)
        records = node_records(node, ref, self.entries, self._digests)
        (folder / f"{name}.json").write_bytes(canonical(records))
        return folder / f"{name}.json"

    def _check_outputs(self, node: Node, out: Path) -> None:
        found = {item.name for item in out.iterdir()}
        if found != set(node.stage.outputs):
            raise ToolchainError(
                f"the stage left {sorted(found)}, not {sorted(node.stage.outputs)}",
                code="stage-outputs",
                place=f"stage {node.name}",
                remedy="this is a fault of asrpack; please report it with the log",
            )

    def _keep_log(self, node: Node, workspace: Path, error: AsrpackError | None) -> None:
        log = workspace / "log.txt"
        if not log.exists():
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        kept = self._logs / f"{node.name}.log"
        shutil.copyfile(log, kept)
        if error is not None:
            error.message += f"\n  log: {kept}"


def _disk_error(node: Node, error: OSError) -> ToolchainError:
    return ToolchainError(
        f"{error.strerror}: {error.filename}",
        code="io-error",
        place=f"stage {node.name}",
        remedy="free disk space or mend the permissions, then build again: it resumes",
    )
