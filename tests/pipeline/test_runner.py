"""Plan, cache, runner and worker on small real stages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from asrpack.bundle.secrets import SecretSource
from asrpack.errors import InputError, ToolchainError, UsageError
from asrpack.pipeline.cache import Cache
from asrpack.pipeline.events import Event
from asrpack.pipeline.node import Node, Output, Source
from asrpack.pipeline.plan import SourceDigests, Step, make_plan, upto
from asrpack.pipeline.runner import Runner
from tests.pipeline.sample_stages import (
    Count,
    Impatient,
    Resuming,
    Secretive,
    Upper,
    UpperParams,
    Worker,
    options,
)


class Bench:
    """A cache, a log folder and the events of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "in.txt"
        if not self.source.exists():  # another process may be reading it
            self.source.write_text("hello")
        self.cache = Cache(folder / "cache")
        self.events: list[Event] = []
        self.previous: dict[str, dict[str, object]] = {}

    def nodes(self, suffix: str = "") -> list[Node]:
        return [
            Node(Upper(), UpperParams(suffix=suffix), {"text": Source(self.source)}),
            Node(Count(), Count.Params(), {"text": Output("upper", "text")}),
        ]

    def plan(self, nodes: list[Node], force: tuple[str, ...] = ()) -> list[Step]:
        return make_plan(nodes, self.cache, SourceDigests(), previous=self.previous, force=force)

    def run(self, nodes: list[Node], force: tuple[str, ...] = ()) -> dict[str, object]:
        runner = Runner("t", self.cache, SourceDigests(), self.folder / "logs", self.events.append)
        entries = runner.run(self.plan(nodes, force), force=force)
        self.previous = {name: dict(entry.components) for name, entry in entries.items()}
        return entries

    def statuses(self, nodes: list[Node], **more: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(step.status, step.reason) for step in self.plan(nodes, **more)]

    def kinds(self) -> list[tuple[str, str]]:
        return [(event.kind, event.stage) for event in self.events if event.kind != "progress"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_second_run_is_cached_and_the_plan_says_so(bench: Bench) -> None:
    assert bench.statuses(bench.nodes()) == [
        ("run", "it was not built before"),
        ("run", "text comes from upper, which runs"),
    ]
    entries = bench.run(bench.nodes())
    assert entries["count"].path("folder").joinpath("length").read_text() == "5"
    assert [status for status, _ in bench.statuses(bench.nodes())] == ["cached", "cached"]
    bench.events.clear()
    bench.run(bench.nodes())
    assert bench.kinds() == [("cached", "upper"), ("cached", "count")]


def test_the_plan_names_what_changed(bench: Bench) -> None:
    bench.run(bench.nodes())
    assert bench.statuses(bench.nodes("!"))[0] == ("run", "suffix changed from  to !")
    bench.source.write_text("hullo")
    assert bench.statuses(bench.nodes())[0] == ("run", "input text changed")


def test_same_bytes_from_a_rerun_stage_stop_the_chain(bench: Bench) -> None:
    bench.run(bench.nodes())
    bench.source.write_text("HELLO")  # another input, the same upper case
    bench.events.clear()
    bench.run(bench.nodes())
    assert ("done", "upper") in bench.kinds()
    assert ("cached", "count") in bench.kinds()


def test_force_runs_a_cached_stage(bench: Bench) -> None:
    bench.run(bench.nodes())
    assert bench.statuses(bench.nodes(), force=("upper",))[0] == ("run", "--force")
    bench.events.clear()
    bench.run(bench.nodes(), force=("upper",))
    assert ("done", "upper") in bench.kinds()
    with pytest.raises(UsageError, match="no stage 'uper'"):
        bench.plan(bench.nodes(), ("uper",))


def test_a_damaged_entry_is_rebuilt(bench: Bench) -> None:
    entries = bench.run(bench.nodes())
    entries["upper"].path("text").write_text("tampered")
    assert bench.statuses(bench.nodes())[0] == ("run", "its cached result is gone or damaged")
    assert bench.run(bench.nodes())["upper"].path("text").read_text() == "HELLO"


def test_until_takes_what_it_needs(bench: Bench) -> None:
    other = Node(Secretive(), Secretive.Params(), {}, {"key": SecretSource("env", "SECRET_K")})
    nodes = [*bench.nodes(), other]
    assert [node.name for node in upto(nodes, "count")] == ["upper", "count"]
    with pytest.raises(UsageError):
        upto(nodes, "no-such")


def test_secrets_reach_the_stage_and_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_K", "correct horse battery staple")
    node = Node(Secretive(), Secretive.Params(), {}, {"key": SecretSource("env", "SECRET_K")})
    entries = bench.run([node])
    assert entries["secretive"].path("length").read_text() == "28"
    for path in bench.folder.rglob("*"):
        if path.is_file():
            assert b"battery" not in path.read_bytes()
    monkeypatch.setenv("SECRET_K", "another")
    assert bench.statuses([node])[0] == ("run", "key key changed")


def worker_node(kind: type[Worker] = Worker, mode: str = "work") -> Node:
    return Node(kind(), options(mode=mode), {})


def test_worker_has_a_clean_environment_and_reports_progress(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    entries = bench.run([worker_node()])
    assert entries["worker"].path("text").read_text() == "1 []"
    assert any(event.kind == "progress" and event.text == "begun" for event in bench.events)
    assert "noise on standard output" in (bench.folder / "logs" / "worker.log").read_text()


@pytest.mark.parametrize(
    ("mode", "kind", "error", "message"),
    [
        ("abort", Worker, ToolchainError, "operator conv9d cannot be converted"),
        ("bug", Worker, ToolchainError, "surprise"),
        ("nothing", Worker, ToolchainError, "left \\[\\], not \\['text'\\]"),
        ("error", Worker, InputError, "bad"),
        ("hang", Impatient, ToolchainError, "took longer than its limit"),
    ],
)
def test_worker_failures_become_errors_with_a_log(
    bench: Bench, mode: str, kind: type[Worker], error: type[Exception], message: str
) -> None:
    node = worker_node(kind, mode)
    with pytest.raises(error, match=message) as caught:
        bench.run([node])
    assert (bench.folder / "logs" / f"{node.name}.log").exists()
    assert "log: " in str(caught.value)
    assert not list((bench.folder / "cache" / "v1" / "work").iterdir())
    if mode == "error":
        assert caught.value.place == "here" and caught.value.remedy == "mend it"


KILLED = """
import os, sys, time
from pathlib import Path
from asrpack.pipeline.cache import Cache
cache = Cache(Path(sys.argv[1]))
with cache.lock("0" * 64), cache.workspace("0" * 64) as folder:
    (folder / "out" / "half").write_text("half-writ")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_killed_work_is_swept_and_running_work_is_not(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    cache = Cache(tmp_path)
    work = tmp_path / "v1" / "work"
    cache.sweep()
    assert len(list(work.iterdir())) == 1
    child.kill()
    child.wait()
    cache.sweep()
    assert not list(work.iterdir())


def test_a_stage_that_resumes_finds_what_its_killed_run_kept(bench: Bench) -> None:
    nodes = [Node(Resuming(), Resuming.Params(), {"text": Source(bench.source)})]
    with pytest.raises(ToolchainError):
        bench.run(nodes)
    entries = bench.run(nodes)
    assert entries["resuming"].path("text").read_text() == "half of the work"
    assert not list((bench.cache.root / "scratch").iterdir())
    bench.source.write_text("other")
    with pytest.raises(ToolchainError):
        bench.run(nodes)


ORPHAN = """
import sys
from pathlib import Path
from asrpack.pipeline.worker import run_isolated
from asrpack.stages.stage import Context
from tests.pipeline.sample_stages import Worker, options
run_isolated(Worker(), options(mode="hang"), {}, Path(sys.argv[1]), Context(
    lambda done, total, text: print(text, flush=True)))
"""


def test_a_worker_dies_with_its_build(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    root = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert child.stdout is not None and child.stdout.readline() == "begun\n"
    workers = _children(child.pid)
    assert workers
    child.kill()
    child.wait()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


TOGETHER = """
import sys
from pathlib import Path
from tests.pipeline.sample_stages import Slow
from tests.pipeline.test_runner import Bench
from asrpack.pipeline.node import Node, Source
bench = Bench(Path(sys.argv[1]))
entries = bench.run([Node(Slow(), Slow.Params(), {"text": Source(bench.source)})])
assert entries["slow"].path("text").read_text() == "done"
print([event.text for event in bench.events if event.kind == "note"])
"""


def test_two_builds_share_one_run(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    Bench(tmp_path)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(2)
    ]
    told = "".join(child.communicate()[0] for child in children)
    assert [child.returncode for child in children] == [0, 0]
    assert (tmp_path / "runs").read_text() == "ran\n"
    assert "waits for another build" in told
