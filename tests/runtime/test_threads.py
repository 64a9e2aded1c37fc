"""Threads of an operator where nobody says how many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asrpack.runtime import threads
from asrpack.runtime.threads import default_threads


def test_default_is_at_least_one_and_at_most_what_may_be_used() -> None:
    assert 1 <= default_threads() <= len(os.sched_getaffinity(0))


def test_hardware_threads_of_one_core_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(threads, "_siblings", lambda cpu: f"{cpu % 2},{cpu % 2 + 2}")
    monkeypatch.setattr(threads, "_cgroup_quota", lambda: 99)
    assert default_threads() == 2


@pytest.mark.parametrize(
    ("text", "cpus"), [("150000 100000\n", 2), ("100000 100000", 1), ("5000 100000", 1)]
)
def test_container_limit(tmp_path: Path, text: str, cpus: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert threads._cgroup_quota(tmp_path / "cpu.max") == cpus


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense"])
def test_no_container_limit(tmp_path: Path, text: str) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert threads._cgroup_quota(tmp_path / "cpu.max") > 1000
    assert threads._cgroup_quota(tmp_path / "none") > 1000
