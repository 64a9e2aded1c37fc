"""Every hostile input is refused with its own code by everything that reads it, at little cost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile import run
from tests.hostile.case import ALONE, RUN, UNPINNED, VERIFY, Case
from tests.hostile.cases import GROUPS
from tests.hostile.run import Corpus


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 1700 processes in one group; other work may have the processors
@pytest.mark.parametrize("group", GROUPS)
def test_refused_with_its_own_code(group: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.hostile", group, "--json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    runs = sum(len(case.by) + len(case.accepted_by) for case in GROUPS[group])
    assert len(outcomes) == runs and not any(item["fault"] for item in outcomes)


def test_names_differ_and_every_entrance_is_tried() -> None:
    for group, cases in GROUPS.items():
        twice = [name for name, count in Counter(case.name for case in cases).items() if count > 1]
        assert twice == [], group
    for entrance in (VERIFY, RUN, UNPINNED, ALONE):
        assert sum(entrance in case.by for cases in GROUPS.values() for case in cases) > 400


# -- That a fault would be noticed -----------------------------------------------------------------


def _nothing(*_: object) -> None:
    pass


def _burn(arguments: list[str]) -> int:
    until = time.process_time() + 1.2
    while time.process_time() < until:
        pass
    return 6


def _fill(arguments: list[str]) -> int:
    return 6 if bytes(range(256)) * (1 << 20) else 0


def _leave(arguments: list[str]) -> int:
    (Path(arguments[1]).parent / "left").touch()
    return 6


def _wait(arguments: list[str]) -> int:
    signal.pause()
    return 6


def _crash(arguments: list[str]) -> int:
    raise KeyError("x")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize(
    ("main", "fault"),
    [
        (lambda arguments: 0, "it ended with 0, not 6"),
        (lambda arguments: 1, "it ended with 1, not 6"),
        (lambda arguments: print("{}") or 6, "not changed-file"),  # noqa: T201
        (_burn, "it took 1."),
        (_fill, "MB"),
        (_leave, "it left something behind"),
        (_wait, "it hangs"),
        (_crash, "it crashed"),
    ],
)
def test_what_is_wrong_is_noticed(
    sound: Corpus,
    monkeypatch: pytest.MonkeyPatch,
    main: Callable[[list[str]], int],
    fault: str,
) -> None:
    def says_the_code(arguments: list[str]) -> int:
        code = main(arguments)
        if main in (_burn, _fill, _leave):
            print('{"findings": [{"code": "changed-file"}]}')  # noqa: T201
        return code

    monkeypatch.setattr(run, "main", says_the_code)
    if main is _wait:
        monkeypatch.setattr(run, "_HANG", 3)
    case = Case("x", _nothing, "changed-file", by=(VERIFY,))
    (outcome,) = sound.run("group", case)
    assert outcome.fault is not None and fault in outcome.fault


@pytest.mark.parametrize("entrance", [VERIFY, RUN, UNPINNED, ALONE])
def test_a_sound_bundle_is_not_refused(sound: Corpus, entrance: str) -> None:
    (outcome,) = sound.run("group", Case("x", _nothing, "changed-file", by=(entrance,)))
    # There is no real model in it: what opens it gets that far.
    assert outcome.fault is not None and (
        "model.json" in outcome.fault or "it ended with 0" in outcome.fault
    )
