"""The benchmark against PaddleSpeech's HTTP server: the same weights, and the same texts."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.paddlespeech_server import (
    EXACT,
    QUANTIZED,
    THEIRS,
    build,
    compare,
    servers_of,
    table,
)
from benchmarks.rivals import write_audio

pytestmark = [pytest.mark.slow, pytest.mark.oracle, pytest.mark.xdist_group("rivals")]


def test_both_servers_are_asked_in_turn(quickstart: Path, tmp_path: Path) -> None:
    shutil.copytree(quickstart / "conformer_digits_cards", tmp_path / "model")
    audio = write_audio(tmp_path)
    build(tmp_path, audio)
    method = "attention_rescoring"
    cpus = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        opening = servers_of(tmp_path, method, cpus, 1)
        servers = {name: stack.enter_context(server) for name, server in opening.items()}
        report = compare(servers, audio, [1, 2], rounds=1)
    assert list(report["servers"]) == [THEIRS, EXACT, QUANTIZED]
    for name, row in report["servers"].items():
        assert row["peak_bytes"] > 1 << 25
        # compare() ends where fp32's are not the same.
        assert row["agreement"]["utterances"] == len(audio), name
    for rows in report["clients"].values():
        assert all(row["times_real_time"] > 0 for row in rows.values())
        assert rows[THEIRS]["throughput_ratio"] == {"median": 1.0, "least": 1.0, "greatest": 1.0}
    printed = table(report | {"method": method, "cpus": cpus, "paddle_threads": 1})
    assert all(f"\n| 2 | {name} |" in printed for name in servers)
